"""All pictures of the explanation of one prediction."""
from collections.abc import Iterator, Sequence

import numpy as np

from mmseg_mvp.datasets.picture_names import file_name
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.models.utils.explanation import Explanation

from .charts import draw_presence, draw_views
from .overlay import draw_overlay
from .side_by_side import classes_present

VIEW_SIDE = 640  # px: above the size of a panel


def draw_explanation(image: np.ndarray, labels: np.ndarray, names: Sequence[str], colours: np.ndarray | None,
                     explanation: Explanation | None, ignore_index: int = IGNORE) -> Iterator[tuple[str, np.ndarray]]:
    """Draw a prediction and the maps of its prompts.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        labels (np.ndarray): Predicted indices into ``names``, (H, W) integers.
        names (Sequence[str]): Names of the N classes.
        colours (np.ndarray, optional): RGB of each class, (N, 3).
        explanation (Explanation, optional): Result of ``CLIPEncoderDecoder.explain``; None for a model without prompts.
        ignore_index (int): Label of ignored pixels.

    Yields:
        tuple[str, np.ndarray]: Suffix for a file name, and the picture, (H', W', 3) uint8: 'overlay'; 'presence' with
        GPR; 'views_<index>_<name>' for each predicted class.
    """
    yield 'overlay', draw_overlay(image, labels, names, colours, ignore_index=ignore_index)
    if explanation is None:
        return
    if explanation.presence is not None:
        yield 'presence', draw_presence(names, explanation.presence.cpu().numpy())
    step = -(-max(labels.shape) // VIEW_SIDE)
    for index in classes_present([labels[labels != ignore_index]], len(names)):
        maps = explanation.views(index, step).cpu().numpy()  # (k, h, w)
        titles, winners = prompt_titles(len(maps), explanation.has_global), None
        if len(maps) > 1:
            winners = np.where(labels[::step, ::step] == index, maps.argmax(axis=0) + explanation.has_global, -1)
        if explanation.has_global:
            maps = np.concatenate([explanation.global_view(index, step)[None].cpu().numpy(), maps])
        picture = draw_views(image, maps, names[index], titles, winners)
        yield file_name(f'views_{index:02d}_{names[index][:60]}'), picture


def prompt_titles(num_views: int, has_global: bool) -> list[str]:
    """Return titles of prompts, first the global one if present."""
    return ['global prompt'] * has_global + [f'prompt {1 + view}' for view in range(num_views)]
