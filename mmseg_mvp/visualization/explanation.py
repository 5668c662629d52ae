"""All pictures of the explanation of one prediction."""
from collections.abc import Iterator, Sequence

import numpy as np

from mmseg_mvp.labels import IGNORE
from mmseg_mvp.models.utils.class_scores import ClassScores
from mmseg_mvp.models.utils.explanation import Explanation
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.models.utils.reasons import Reason, reasons

from .charts import draw_presence
from .class_rows import GLOBAL, ClassRow, draw_class_rows
from .overlay import draw_overlay
from .palette import distinct_colours

VIEW_SIDE = 640  # px: above the size of a panel
PRESENT, SHOWN = 8, 12  # rows: of classes in the label map at most, and of all classes


def draw_explanation(image: np.ndarray, labels: np.ndarray, names: Sequence[str], colours: np.ndarray | None,
                     explanation: Explanation | None, logits: LowResLogits | None,
                     ignore_index: int = IGNORE) -> Iterator[tuple[str, np.ndarray]]:
    """Draw a prediction and the reason of each class.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        labels (np.ndarray): Predicted indices into ``names``, (H, W) integers.
        names (Sequence[str]): Names of the N classes.
        colours (np.ndarray, optional): RGB of each class, (N, 3).
        explanation (Explanation, optional): Result of ``CLIPEncoderDecoder.explain``; None for a model without prompts.
        logits (LowResLogits, optional): Logits of the prediction; None draws no rows of classes.
        ignore_index (int): Label of ignored pixels.

    Yields:
        tuple[str, np.ndarray]: Suffix for a file name, and the picture, (H', W', 3) uint8: 'overlay'; 'presence' with
        GPR; 'classes' with logits.
    """
    yield 'overlay', draw_overlay(image, labels, names, colours, ignore_index=ignore_index)
    presence = presence_of(explanation)
    if presence is not None:
        yield 'presence', draw_presence(names, presence)
    if logits is not None:
        scores = ClassScores(logits)
        labels = np.where(labels == ignore_index, -1, labels)
        found = reasons(labels, names, scores, presence)
        yield 'classes', draw_reasons(image, labels, shown(found), scores, colours, explanation, len(names))


def draw_reasons(image: np.ndarray, labels: np.ndarray, found: Sequence[Reason], scores: ClassScores,
                 colours: np.ndarray | None, explanation: Explanation | None, count: int) -> np.ndarray:
    """Draw the rows of classes, see :func:`draw_class_rows`; ``count`` is the number of all classes."""
    step = -(-max(labels.shape) // VIEW_SIDE)
    colours = distinct_colours(count) if colours is None else colours
    maps = scores.maps([one.label for one in found], step).cpu().numpy()
    rows = [ClassRow(one, colours[one.label], score, *_views(explanation, one.label, labels[::step, ::step], step))
            for one, score in zip(found, maps)]
    titles = () if explanation is None else prompt_titles(len(rows[0].views) - explanation.has_global,
                                                          explanation.has_global)
    note = f'Drawn are {len(found)} of {count} classes.' * (len(found) < count)
    return draw_class_rows(image, rows, titles, note)


def _views(explanation: Explanation | None, index: int, labels: np.ndarray,
           step: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the maps of all prompts (P, h, w) of a class, and the highest prompt at its pixels (h, w) if several."""
    if explanation is None:
        return np.empty((0, *labels.shape)), None
    views, winners = explanation.views(index, step).cpu().numpy(), None  # (k, h, w)
    if len(views) > 1:
        winners = np.where(labels == index, views.argmax(axis=0) + explanation.has_global, -1)
    if explanation.has_global:
        views = np.concatenate([explanation.global_view(index, step)[None].cpu().numpy(), views])
    return views, winners


def presence_of(explanation: Explanation | None) -> np.ndarray | None:
    """Return GPR's ``g`` of each class, (N,), or None."""
    return None if explanation is None or explanation.presence is None else explanation.presence.cpu().numpy()


def shown(found: Sequence[Reason]) -> list[Reason]:
    """Choose the reasons to draw: the largest classes of the label map, then the others with the highest scores."""
    present = [one for one in found if one.share][:PRESENT]
    return [*present, *[one for one in found if not one.share][:SHOWN - len(present)]]


def prompt_titles(num_views: int, has_global: bool) -> list[str]:
    """Return titles of prompts, first the global one if present."""
    return [GLOBAL] * has_global + [f'prompt {1 + view}' for view in range(num_views)]
