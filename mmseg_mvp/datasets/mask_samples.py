"""Check of some masks of a data set before a run."""
import copy
import time
from collections.abc import Mapping, Sequence

import mmcv.transforms
import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE

from .pipelines import is_a, loads_masks, steps_of
from .transforms import LoadCheckedAnnotations

NUM_SAMPLES = 16
SECONDS = 2  # bound for data sets of large images
_LOADERS = (mmcv.transforms.LoadImageFromFile, mmcv.transforms.LoadAnnotations)


def check_mask_samples(samples: Sequence[Mapping], dataset: BaseDataset, cfg: Mapping, loader: str) -> None:
    """Load evenly spaced samples by the loading transforms of the pipeline, and check the values of the masks.

    Raises:
        UserError: If an image or mask can't be loaded, or a mask has a value that is neither a class nor ignored.
    """
    if not samples or not loads_masks(cfg.get('pipeline')):
        return
    steps = [TRANSFORMS.build(step) for step in steps_of(cfg['pipeline']) if is_a(step, _LOADERS)]
    checked = any(isinstance(step, LoadCheckedAnnotations) for step in steps)
    end = time.monotonic() + SECONDS
    for position in np.unique(np.linspace(0, len(samples) - 1, NUM_SAMPLES).round().astype(int)):
        results = _load(copy.deepcopy(samples[position]), steps)
        if not checked:
            _check_values(results, dataset, loader)
        if time.monotonic() > end:
            break


def _load(results: dict, steps: Sequence) -> dict:
    try:
        for step in steps:
            results = step(results)
        return results
    except UserError:
        raise
    except Exception as error:  # decoders raise their own exceptions
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise UserError(f'Image {results["img_path"]!r} or mask {results["seg_map_path"]!r} cannot be read ({reason}): '
                        'replace the file by an intact copy, or remove its name from the split file.') from error


def _check_values(results: Mapping, dataset: BaseDataset, loader: str) -> None:
    classes, mask, image = dataset.metainfo.get('classes'), results.get('gt_seg_map'), results.get('img')
    if classes is None or mask is None:
        return
    if mask.ndim != 2 or image is not None and mask.shape != image.shape[:2]:
        size = f', and the image {image.shape[:2]}' if image is not None else ''
        raise UserError(f'Mask {results["seg_map_path"]!r} of {loader} has the shape {mask.shape}{size}: expected one '
                        'label value per pixel of the image; convert colours to label values, or load the masks by '
                        'LoadCheckedAnnotations.')
    ignored = {IGNORE, getattr(dataset, 'ignore_index', IGNORE)}
    if wrong := sorted({*np.unique(mask).tolist()} - {*range(len(classes))} - ignored):
        raise UserError(f'Mask {results["seg_map_path"]!r} of {loader} has the label value {wrong[0]}, but the data '
                        f'set has {len(classes)} classes, values 0 to {len(classes) - 1}: convert the masks as '
                        'documented for the data set, set other pixels to 255, or set reduce_zero_label=True if the '
                        'masks begin at 1.')
