"""Size to which a photo is resized before an exported file gets it, as the test pipeline of the config does."""
from collections.abc import Sequence

from mmengine.config import Config

from mmseg_mvp.utils.config import type_name

EXAMPLE = (4000, 3000)  # px: width and height of the photo in the hint


def input_size(cfg: Config, shape: Sequence[int] | None = None) -> dict:
    """Return the rule for the size of the input, for the metadata of the file.

    Args:
        cfg (Config): Config with a ``test_pipeline`` or a ``test_dataloader``.
        shape (Sequence[int], optional): Fixed batch, height and width of the file.

    Returns:
        dict: ``fit`` with the largest long and short side, which keeps the ratio; ``stretch`` with width and height;
        ``steps`` with the steps of the pipeline if it is neither; empty for photos as they are. ``fit`` and ``stretch``
        are bilinear without smoothing, as OpenCV's.
    """
    if shape:
        return dict(stretch=[shape[2], shape[1]])
    steps = cfg.get('test_pipeline') or (cfg.get('test_dataloader') or {}).get('dataset', {}).get('pipeline') or []
    steps = [dict(step) for step in steps if 'Resize' in type_name(step)]
    if not steps:
        return {}
    step, scale = steps[0], steps[0].get('scale')
    usual = step.get('interpolation', 'bilinear') == 'bilinear' and step.get('backend', 'cv2') == 'cv2'
    if len(steps) > 1 or type_name(step) != 'Resize' or not usual or not isinstance(scale, (int, Sequence)):
        return dict(steps=steps)
    scale = (scale, scale) if isinstance(scale, int) else scale
    return dict(fit=sorted(scale, reverse=True)) if step.get('keep_ratio') else dict(stretch=list(scale))


def fed_size(rule: dict, width: int, height: int) -> tuple[int, int] | None:
    """Return the (width, height) of a photo after a rule; None if the rule is ``steps``."""
    if 'fit' in rule:
        factor = min(rule['fit'][0] / max(width, height), rule['fit'][1] / min(width, height))
        return int(width * factor + 0.5), int(height * factor + 0.5)
    return None if 'steps' in rule else tuple(rule.get('stretch', (width, height)))


def hint(rule: dict) -> str:
    """Return a sentence about the pictures to feed."""
    if 'steps' in rule:
        return f'Feed RGB bytes, resized by these steps of the test pipeline: {rule["steps"]}.'
    if not rule:
        return 'Feed RGB bytes of the photo at its own size.'
    if 'stretch' in rule:
        width, height = rule['stretch']
        return f'Feed RGB bytes, stretched to {width} x {height} pixels (width x height).'
    (width, height), (longest, shortest) = fed_size(rule, *EXAMPLE), rule['fit']
    return (f'Feed RGB bytes, resized to the largest size with at most {longest} pixels along the longer and '
            f'{shortest} along the shorter side: a photo of {EXAMPLE[0]} x {EXAMPLE[1]} pixels becomes '
            f'{width} x {height}. Another size gives other labels.')
