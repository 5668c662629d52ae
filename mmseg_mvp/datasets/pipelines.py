"""Steps of pipelines, also inside test time augmentation."""
from collections.abc import Iterator, Mapping, Sequence

import mmcv.transforms
from mmseg.registry import TRANSFORMS

from mmseg_mvp.utils.config import component_class, type_name


def steps_of(pipeline: Sequence) -> Iterator[Mapping]:
    """Generate the steps of a pipeline and of the ``TestTimeAug`` in it."""
    for step in pipeline:
        if isinstance(step, Mapping):
            yield step
            yield from steps_of(step.get('transforms') or ())
        elif isinstance(step, (list, tuple)):
            yield from steps_of(step)


def is_a(step: Mapping, kinds: type | tuple) -> bool:
    """Return True if a step is of one of the classes, or of a subclass."""
    cls = component_class(step.get('type'), TRANSFORMS)
    return isinstance(cls, type) and issubclass(cls, kinds)


def loads_masks(pipeline: Sequence | None) -> bool:
    """Return True if a pipeline has a step that loads masks."""
    return any(map(_is_mask_loader, steps_of(pipeline or ())))


def without_mask_loading(pipeline: Sequence) -> list:
    """Return a pipeline without the steps that load masks."""
    kept = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            kept += [inner] if (inner := without_mask_loading(step)) else []
        elif isinstance(step, Mapping) and 'transforms' in step:
            kept.append({**step, 'transforms': without_mask_loading(step['transforms'])})
        elif not (isinstance(step, Mapping) and _is_mask_loader(step)):
            kept.append(step)
    return kept


def _is_mask_loader(step: Mapping) -> bool:
    """Return True for mmcv's loader and its subclasses, and for loaders of the user with such a name."""
    name = type_name(step)
    return is_a(step, mmcv.transforms.LoadAnnotations) or name.startswith('Load') and 'Annotations' in name
