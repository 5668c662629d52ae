"""Training pipeline of VOC on one core: images of VOC's size, read, augmented and packed.

Peer: the same transforms with mmseg's crop and other loaders. These read the mask's file and its header separately,
renumber labels one by one and pass on a reversed view of the image. It is an earlier pipeline of this project.
``--device``, ``--dtype`` and ``--threads`` have no effect: one process with one thread, as a data loader's worker.

The data is synthetic: noise with the spectrum of natural images (amplitude 1/f) as JPEG of quality 90, and masks of
three ellipses with borders as palette PNG.
"""
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import harness
import mmengine.fileio as fileio
import numpy as np
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from mmseg.utils import register_all_modules
from PIL import Image

import mmseg_mvp  # noqa: F401, registers the transforms

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / '_base_' / 'datasets' / 'voc20_zs.py'
SHAPE = 375, 500
LABEL_MAP = {label: label if label < 15 else 255 for label in range(20)}


class PlainAnnotations(LoadAnnotations):
    """mmseg's loader with the format and value checks of LoadCheckedAnnotations."""

    def _load_seg_map(self, results: dict) -> None:
        Image.open(io.BytesIO(fileio.get(results['seg_map_path']))).close()
        super()._load_seg_map(results)
        np.bincount(results['gt_seg_map'].ravel(), minlength=256)


def draw_image(rng: np.random.Generator) -> np.ndarray:
    """Draw an image (H, W, 3), uint8, with amplitude 1/f and correlated channels."""
    height, width = SHAPE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    grey, *channels = rng.normal(size=(4, 2, *frequency.shape))
    waves = [(0.9 * grey + 0.3 * channel) / frequency for channel in channels]
    planes = [np.fft.irfft2(real + 1j * imaginary, SHAPE) for real, imaginary in waves]
    return np.clip([115 + 55 * plane / plane.std() for plane in planes], 0, 255).astype(np.uint8).transpose(1, 2, 0)


def draw_mask(rng: np.random.Generator) -> np.ndarray:
    """Draw labels (H, W), uint8: three ellipses with values 1 to 20 and borders of 255, on 0."""
    rows, columns = np.mgrid[:SHAPE[0], :SHAPE[1]]
    mask = np.zeros(SHAPE, np.uint8)
    for _ in range(3):
        y, x = rng.uniform(0, SHAPE)
        distance = ((rows - y) / rng.uniform(40, 150))**2 + ((columns - x) / rng.uniform(40, 200))**2
        mask[distance < 1.1] = 255
        mask[distance < 1] = rng.integers(1, 21)
    return mask


def write(folder: Path, number: int) -> list[dict]:
    """Write images and masks; return the data set's sample dict for each."""
    rng, found = np.random.default_rng(0), []
    for index in range(number):
        image, mask = folder / f'{index}.jpg', folder / f'{index}.png'
        Image.fromarray(draw_image(rng)).save(image, quality=90)
        labels = Image.fromarray(draw_mask(rng))
        labels.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
        labels.save(mask)
        found.append(dict(img_path=str(image), seg_map_path=str(mask), label_map=LABEL_MAP, reduce_zero_label=True))
    return found


def pipelines() -> dict[str, list[Callable]]:
    """Build the transforms of each variant."""
    ours = [TRANSFORMS.build(step) for step in Config.fromfile(CONFIG).train_pipeline]
    crop = ours[3]
    plain = TRANSFORMS.build(dict(type='RandomCrop', crop_size=crop.crop_size, cat_max_ratio=crop.cat_max_ratio))
    return {'plain': [LoadImageFromFile(imdecode_backend='pillow'), PlainAnnotations(), ours[2], plain, *ours[4:]],
            'ours': ours}


def load(pipeline: list[Callable], samples: list[dict]) -> Callable[[], list]:
    """Return a function that loads inputs and labels of all samples, with the same random numbers in each call."""
    transform = Compose(pipeline)

    def run() -> list:
        np.random.seed(0)
        packed = [transform(dict(sample, seg_fields=[])) for sample in samples]
        return [(one['inputs'], one['data_samples'].gt_sem_seg.data) for one in packed]
    return run


def main() -> None:
    args = harness.arguments(__doc__)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    register_all_modules()
    number = 2 if args.quick else 40
    with tempfile.TemporaryDirectory() as folder:
        samples = write(Path(folder), number)
        variants = {name: load(pipeline, samples) for name, pipeline in pipelines().items()}
        rows = harness.compare('data loading', f'{number} pictures of 500x375', variants, 'plain',
                               harness.relative_error, memory=False, **dict(harness.settings(args), device='cpu'))
    for row in rows:
        row['ms_per_image'] = row['seconds'] / number * 1e3
        print(f'  {row["variant"]}: {row["ms_per_image"]:.2f} ms an image')
    harness.save(rows, args)


if __name__ == '__main__':
    main()
