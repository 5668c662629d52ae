"""Explanation of a result: maps of the prompts, presence, and the reason of each class."""
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from mmseg_mvp.errors import UserError
from mmseg_mvp.models.utils.class_scores import ClassScores
from mmseg_mvp.models.utils.explanation import Explanation
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.models.utils.reasons import Reason, reasons
from mmseg_mvp.visualization import write_note
from mmseg_mvp.visualization.explanation import draw_reasons, presence_of, shown
from mmseg_mvp.vocabularies.parsing import separate


class Explained:
    """Part of :class:`~mmseg_mvp.apis.segmentation.Segmentation` that explains the label map on request."""

    image: np.ndarray
    note: str | None
    classes: tuple[str, ...]
    colours: np.ndarray
    label_map: np.ndarray
    unknown: int
    index: Callable[[str], int]
    _logits: LowResLogits
    _explain: Callable[[], Explanation | None]

    @cached_property
    def explanation(self) -> Explanation | None:
        """Map of each prompt; None if the model has none. The first access runs the model again."""
        return self._explain()

    @property
    def presence(self) -> np.ndarray | None:
        """Presence score of each class in the image, GPR's g (N,), 0..1; None if the model has no GPR."""
        return presence_of(self.explanation)

    def views(self, name: str) -> np.ndarray:
        """Return the cosines of a class for the k segmentation prompts, ``m_1 .. m_k``, (k, H, W) float32.

        Raises:
            UserError: If no class has this name, or the model has no map per prompt.
        """
        index = self.index(name)
        self._check_explained()
        return self.explanation.views(index).cpu().numpy()

    def _check_explained(self) -> None:
        if self.explanation is None:
            raise UserError('This model has no map per prompt: use MVP-SEG or MaskCLIP '
                            '(CLIPEncoderDecoder) for views.')

    def draw_views(self) -> np.ndarray:
        """Draw :meth:`draw_reasons` of a model with a map per prompt; RGB, (H', W', 3) uint8.

        Raises:
            UserError: If the model has no map per prompt.
        """
        self._check_explained()
        return self.draw_reasons()

    def reasons(self) -> list[Reason]:
        """Return why each class has its pixels or none: highest probability, its place, the class there.

        First come the classes in the label map by area, then the others by probability.
        """
        return reasons(self._labels, self.classes, self._class_scores, self.presence)

    def draw_reasons(self, names: str | Sequence[str] | None = None) -> np.ndarray:
        """Draw the photo once, and for each class :meth:`reasons`, the map of its score and the map of each prompt.

        Args:
            names (str | Sequence[str], optional): Classes to draw, as a list or separated by commas. None takes the
                largest 8 in the label map, and others by probability, 12 in total.

        Returns:
            np.ndarray: RGB, (H', W', 3) uint8.

        Raises:
            UserError: If no class has one of the names.
        """
        found = self.reasons()
        chosen = {self.index(name) for name in (separate(names) if isinstance(names, str) else names or ())}
        found = [one for one in found if one.label in chosen] if chosen else shown(found)
        return write_note(draw_reasons(self.image, self._labels, found, self._class_scores, self.colours,
                                       self.explanation, len(self.classes)), self.note, above=True)

    @cached_property
    def _class_scores(self) -> ClassScores:
        return ClassScores(self._logits)

    @property
    def _labels(self) -> np.ndarray:
        """Label map with -1 for pixels without a class."""
        return np.where(self.label_map == self.unknown, -1, self.label_map)
