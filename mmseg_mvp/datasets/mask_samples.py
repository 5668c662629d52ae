"""Check of some masks of a data set before a run, and pipelines for data without masks."""
import copy
import time
from collections.abc import Iterator, Mapping, Sequence

import mmcv.transforms
import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE

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
    steps = [TRANSFORMS.build(step) for step in _loading_steps(cfg['pipeline'], _LOADERS)]
    checked = any(isinstance(step, LoadCheckedAnnotations) for step in steps)
    end = time.monotonic() + SECONDS
    for position in np.unique(np.linspace(0, len(samples) - 1, NUM_SAMPLES).round().astype(int)):
        results = _load(copy.deepcopy(samples[position]), steps)
        if not checked:
            _check_values(results, dataset, loader)
        if time.monotonic() > end:
            break


def loads_masks(pipeline: Sequence | None) -> bool:
    """Check if a pipeline has a step that loads masks."""
    return any(_loading_steps(pipeline or [], mmcv.transforms.LoadAnnotations))


def without_mask_loading(pipeline: Sequence) -> list:
    """Return a pipeline without the steps that load masks, also inside test time augmentation."""
    kept = []
    for step in pipeline:
        if not isinstance(step, Mapping):
            kept += [inner] if (inner := without_mask_loading(step)) else []
        elif 'transforms' in step:
            kept.append({**step, 'transforms': without_mask_loading(step['transforms'])})
        elif not _is_a(step, mmcv.transforms.LoadAnnotations):
            kept.append(step)
    return kept


def _loading_steps(pipeline: Sequence, kinds: type | tuple) -> Iterator[Mapping]:
    """Generate the steps of some classes, also those inside test time augmentation."""
    for step in pipeline:
        if isinstance(step, Mapping):
            if _is_a(step, kinds):
                yield step
            yield from _loading_steps(step.get('transforms') or (), kinds)
        else:
            yield from _loading_steps(step, kinds)


def _is_a(step: Mapping, kinds: type | tuple) -> bool:
    kind = step.get('type')
    cls = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(cls, type) and issubclass(cls, kinds)


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
    classes, mask = dataset.metainfo.get('classes'), results.get('gt_seg_map')
    if classes is None or mask is None:
        return
    ignored = {IGNORE, getattr(dataset, 'ignore_index', IGNORE)}
    if wrong := sorted({*np.unique(mask).tolist()} - {*range(len(classes))} - ignored):
        raise UserError(f'Mask {results["seg_map_path"]!r} of {loader} has the label value {wrong[0]}, but the data '
                        f'set has {len(classes)} classes, values 0 to {len(classes) - 1}: convert the masks as '
                        'documented for the data set, set other pixels to 255, or set reduce_zero_label=True if the '
                        'masks begin at 1.')
