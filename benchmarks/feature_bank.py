"""Training iteration from a feature bank: MVP-SEG, ViT-B/16, 512x512, batch 2, forward and backward to the prompts.

"online" preprocesses the images and runs the frozen image tower, as each iteration without a bank does. The bank's
variants read the features of the same crops from their files. Data loading is not included: see data_loading.py. The
error is that of the loss; the claim "feature bank, gradient" has the error of the prompts' gradient. The parts of an
iteration from the bank follow. The 15 classes are VOC's seen classes, the 156 are COCO-Stuff's.
"""
import tempfile
from collections.abc import Callable
from pathlib import Path

import harness
import torch
from iteration import SPLITS, parts, segmentor
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.apis.bank_crops import features_of, inputs_of
from mmseg_mvp.datasets import FeatureBankDataset
from mmseg_mvp.datasets.bank_files import BankFiles
from mmseg_mvp.models.segmentors.feature_inputs import accept_features
from mmseg_mvp.vocabularies import class_names


class Names:
    """Names of a data set's images, which is all that a bank needs of it for training."""
    metainfo = {}

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=f'{index}.jpg')


def crops(count: int, classes: int, size: int) -> list[dict]:
    """Draw packed crops of noise, with labels in squares of an eighth of their side."""
    torch.manual_seed(0)
    labels = F.interpolate(torch.randint(0, classes, (count, 1, 8, 8)).float(), size=(size, size)).long()
    return [dict(inputs=torch.randint(0, 256, (3, size, size), dtype=torch.uint8),
                 data_samples=SegDataSample(gt_sem_seg=PixelData(data=label))) for label in labels]


def bank(samples: list[dict], model: nn.Module, folder: Path, precision: str) -> FeatureBankDataset:
    """Store crops as images with one augmentation each, computed one by one."""
    for index, sample in enumerate(samples):
        images, labels = inputs_of([sample], model)
        features = features_of(images, model, dict(batch_size=1)).cpu().numpy()
        if not index:
            files = BankFiles(folder, {}, len(samples), 1, features.shape[1:], labels.shape[1:], precision)
            files.write_index()
        files.write(index, features, labels.cpu().numpy())
    return FeatureBankDataset(folder, Names(len(samples)))


def iteration(model: nn.Module, source: list | FeatureBankDataset, args) -> Callable:
    """Build an iteration that returns the loss () and the gradient of the contexts, (P, M, width)."""
    def run() -> tuple[Tensor, Tensor]:
        model.zero_grad()
        data = model.data_preprocessor(pseudo_collate([source[index] for index in range(len(source))]), True)
        with torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32'):
            loss = model.parse_losses(model.loss(**data))[0]
        loss.backward()
        return loss.detach(), model.decode_head.classifier.prompts.contexts.grad.clone()
    return run


def compare(case: str, variants: dict[str, Callable], options: dict) -> list[dict]:
    """Compare iterations; the error of the gradients gets rows of its own."""
    gradients = []

    def error(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> float:
        gradients.append(harness.relative_error(found[1], expected[1]))
        return harness.relative_error(found[0], expected[0])

    rows = harness.compare('feature bank', case, variants, 'online', error, **options)
    blank = dict.fromkeys(('seconds', 'speedup', 'peak_mib', 'memory_ratio'))
    return rows + [dict(row, claim='feature bank, gradient', **blank, error=one) for row, one in zip(rows, gradients)]


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    name, size, splits = ('toy-rn', 64, {15: 'toy:seen'}) if args.quick else ('ViT-B-16-quickgelu', 512, SPLITS)
    batch, rows = 2 if args.device == 'cpu' else 16, []
    options = dict(harness.settings(args), repeats=1 if args.quick else min(args.repeats, 5))
    for count in [count for count in splits if count != 110]:  # which stands for 156 in iteration.py
        model = segmentor(name, class_names(splits[count])[:count], args)
        model.data_preprocessor = MODELS.build(dict(type='SegDataPreProcessor', bgr_to_rgb=True, size=(size, size),
                                                    **model.backbone.normalisation)).to(args.device)
        samples, case = crops(batch, count, size), f'ViT-B/16, B={batch}, C={count}, k+1=4'
        with tempfile.TemporaryDirectory() as folder:
            banks = {precision: bank(samples, model, Path(folder) / precision, precision)
                     for precision in ('float16', 'float32')}
            images, labels = inputs_of(samples, model)
            accept_features(model)
            rows += compare(case, {'online': iteration(model, samples, args),
                                   'ours': iteration(model, banks['float16'], args),
                                   'ours, float32': iteration(model, banks['float32'], args)}, options)
            pieces = parts(model, images, labels, args)
            del pieces['image tower']
            stored = banks['float16']
            rows += harness.compare('feature bank, parts', case, {
                'ours': iteration(model, stored, args), 'reading': lambda: [stored[index] for index in range(batch)],
                **pieces}, 'ours', lambda *_: 0., **options)
        harness.save(rows, args)


if __name__ == '__main__':
    main()
