"""What an image was segmented into, with all that a user may want to know of it."""
from collections.abc import Callable
from functools import cached_property, reduce
from itertools import islice
from pathlib import Path

import numpy as np
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.models.segmentors.explanation import Explanation
from mmseg_mvp.models.segmentors.label_map import probability_map
from mmseg_mvp.visualization import distinct_colours, draw_overlay
from mmseg_mvp.visualization.explanation import draw_explanation
from mmseg_mvp.visualization.legend import stack

from .files import written_whole

PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
UNKNOWN_COLOUR = (128, 128, 128)
SHOWN_VIEWS = 8  # classes whose views are drawn


class Segmentation:
    """The label map of an image, its classes, and on demand scores, presence, views and pictures.

    Args:
        sample (SegDataSample): A prediction, with ``low_res_logits`` and, in its meta information, ``image`` and
            ``img_path``.
        classes (list[str]): Names of the N classes, by label.
        explain (Callable): Runs the image through the model again for what its prompts see; None says that it can't.
        threshold (float, optional): Pixels whose class has a lower probability become ``unknown``.

    Attributes:
        image (np.ndarray): As it was read, RGB, (H, W, 3) uint8.
        path (Path, optional): Where it was read from.
        classes (tuple[str]): Names of the N classes.
        unknown (int): Label of pixels below the threshold: 255, as mmseg ignores it, or 65535 beyond 255 classes.
        label_map (np.ndarray): Class of each pixel, (H, W) int64.
    """

    def __init__(self, sample: SegDataSample, classes: list[str], explain: Callable[[], Explanation | None],
                 threshold: float | None = None) -> None:
        self.image, self.path = sample.metainfo['image'], sample.metainfo['img_path']
        self.classes = tuple(classes)
        self.unknown = IGNORE if len(classes) <= IGNORE else 2**16 - 1
        self.label_map = sample.pred_sem_seg.data[0].cpu().numpy()
        if threshold is not None:
            confidence = probability_map(*sample.low_res_logits.view())
            self.label_map[(confidence < threshold).cpu().numpy()] = self.unknown
        self._logits = sample.low_res_logits.cpu()  # many results must not fill a GPU
        self._explain = explain

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        return f'Segmentation({self.path or "image"}, {width} x {height}, {self.present()})'

    def present(self) -> list[str]:
        """Names of the classes in the label map, largest area first."""
        areas = np.bincount(self.label_map[self.label_map != self.unknown], minlength=len(self.classes))
        return [self.classes[i] for i in np.argsort(-areas, kind='stable') if areas[i]]

    def index(self, name: str) -> int:
        """Label of a class.

        Raises:
            UserError: If no class is called so.
        """
        if name not in self.classes:
            raise UserError(f'There is no class {name!r} among those segmented: expected one of '
                            f'{", ".join(self.classes[:20])}{", ..." * (len(self.classes) > 20)}.')
        return self.classes.index(name)

    @cached_property
    def colours(self) -> np.ndarray:
        """RGB of each class, (N, 3) uint8: colour-blind-safe, see :func:`distinct_colours`."""
        return distinct_colours(len(self.classes))

    def score(self, name: str) -> np.ndarray:
        """Probability of a class at each pixel (softmax over all classes), (H, W) float32.

        Raises:
            UserError: If no class is called so.
        """
        return probability_map(*self._logits.view(), self.index(name)).numpy()

    def scores(self) -> np.ndarray:
        """Probabilities of all classes, (N, H, W) float32; that is much memory for many classes: see :meth:`score`."""
        return self._logits.resize().softmax(dim=0).numpy()

    @cached_property
    def explanation(self) -> Explanation | None:
        """What each prompt sees of the image; None where the model can't say. The first call runs it once more."""
        return self._explain()

    @property
    def presence(self) -> np.ndarray | None:
        """How likely each class is in the image, GPR's g (N,), 0..1; None where the model has no GPR."""
        presence = getattr(self.explanation, 'presence', None)
        return None if presence is None else presence.cpu().numpy()

    def views(self, name: str) -> np.ndarray:
        """Cosines of a class under each of the k segmentation prompts, ``m_1 .. m_k``, (k, H, W) float32.

        Raises:
            UserError: If no class is called so, or the model can't tell its prompts apart.
        """
        index = self.index(name)
        self._check_explained()
        return self.explanation.views(index).cpu().numpy()

    def _check_explained(self) -> None:
        if self.explanation is None:
            raise UserError('This model can\'t tell its prompts apart: views need MVP-SEG or MaskCLIP '
                            '(CLIPEncoderDecoder).')

    def draw(self) -> np.ndarray:
        """The image under its labels, with a legend below, (H', W', 3) uint8, RGB."""
        return draw_overlay(self.image, self.label_map, self.classes, self.colours, ignore_index=self.unknown)

    def draw_views(self) -> np.ndarray:
        """What each prompt sees of the largest classes and, where the model has GPR, presence scores; each below
        the other.

        Returns:
            np.ndarray: RGB, (H', W', 3) uint8.

        Raises:
            UserError: If the model can't tell its prompts apart.
        """
        self._check_explained()
        pictures = dict(islice(draw_explanation(self.image, self.label_map, self.classes, self.colours,
                                                self.explanation, self.unknown), 2 + SHOWN_VIEWS))
        views = [picture for kind, picture in pictures.items() if kind.startswith('views')][:SHOWN_VIEWS]
        presence = [pictures['presence']] if 'presence' in pictures else []
        return reduce(stack, views + presence or [self.image])

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the picture of :meth:`draw`.

        Args:
            path (str | Path): Its ending says the format; missing folders are made.
            overwrite (bool): Whether a file of that name gives way.

        Raises:
            UserError: If the file exists, can't be written, or has another ending than those of pictures.
        """
        save_picture(self.draw(), path, overwrite)

    def save_mask(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the label map as a PNG, without loss.

        Args:
            path (str | Path): Ends in ``.png``; missing folders are made.
            overwrite (bool): Whether a file of that name gives way.

        With at most 255 classes it has 8 bits and the palette of ``colours``, so that viewers show it in colour; with
        more it has 16 bits and no palette, which PNG does not have for them.

        Raises:
            UserError: If the file exists, can't be written, or does not end in ``.png``, or there are more classes than
                16 bits hold.
        """
        if len(self.classes) > 2**16 - 1:
            raise UserError(f'A PNG mask holds 65535 classes at most, and there are {len(self.classes)}: save '
                            f'label_map by numpy.save.')
        if self.unknown > IGNORE:
            mask = Image.fromarray(self.label_map.astype(np.uint16))
        else:
            mask = Image.fromarray(self.label_map.astype(np.uint8))
            mask.putpalette(self._palette().tobytes())
        _write(mask, path, overwrite, ('.png',))

    def _palette(self) -> np.ndarray:
        """RGB of the 256 values of a mask, (256, 3) uint8: black for those without a class."""
        palette = np.zeros((256, 3), np.uint8)
        palette[:len(self.classes)], palette[self.unknown] = self.colours, UNKNOWN_COLOUR
        return palette


def save_picture(picture: np.ndarray, path: str | Path, overwrite: bool = False) -> None:
    """Write a picture (H, W, 3) uint8, RGB, as a whole or not at all.

    Raises:
        UserError: As in :meth:`Segmentation.save`.
    """
    _write(Image.fromarray(picture), path, overwrite, PICTURES)


def _write(picture: Image.Image, path: str | Path, overwrite: bool, endings: tuple[str, ...]) -> None:
    if not isinstance(path, (str, Path)):
        raise UserError(f'A picture can\'t be saved as {path!r}: expected the path of a file.')
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise UserError(f'{path} does not end in {" or ".join(endings)}, which would say the format of the file.')
    with written_whole(path, overwrite) as temporary:
        picture.save(temporary)
