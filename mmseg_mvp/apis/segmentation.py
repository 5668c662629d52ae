"""Result of segmenting one image: label map, scores, pictures and annotations."""
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_mvp.datasets.annotations.writing import coco_annotations, labelme_record
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.models.utils.explanation import Explanation
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.visualization import distinct_colours, draw_overlay, write_note

from .explained import Explained
from .pictures import png, save_picture, write_image

UNKNOWN_COLOUR = (128, 128, 128)


class Segmentation(Explained):
    """Label map of an image and its classes; computes scores, reasons, views and pictures on request.

    Args:
        sample (SegDataSample): Prediction with ``low_res_logits``, and with ``image`` and ``img_path`` in its metainfo.
        classes (list[str]): Names of the N classes, by label.
        explain (Callable): Function that runs the model again and returns the maps of its prompts, or None if the
            model has none.
        threshold (float, optional): Pixels whose class has a lower probability become ``unknown``.

    Attributes:
        image (np.ndarray): Image as read, RGB, (H, W, 3) uint8.
        path (Path, optional): Path of the image file.
        note (str, optional): Warning that pictures show, such as that a toy CLIP made them.
        classes (tuple[str]): Names of the N classes, by label.
        unknown (int): Label of pixels below the threshold: 255, mmseg's ignore index; 65535 with more than 255 classes.
        label_map (np.ndarray): Class of each pixel, (H, W) int64.
    """

    def __init__(self, sample: SegDataSample, classes: list[str], explain: Callable[[], Explanation | None],
                 threshold: float | None = None) -> None:
        self.image, self.path, self.note = (sample.metainfo.get(key) for key in ('image', 'img_path', 'note'))
        self.classes = tuple(classes)
        self.unknown = IGNORE if len(classes) <= IGNORE else 2**16 - 1
        self.label_map = sample.pred_sem_seg.data[0].cpu().numpy()
        if threshold is not None:
            confidence = sample.low_res_logits.probability_map()
            self.label_map[(confidence < threshold).cpu().numpy()] = self.unknown
        self._logits = sample.low_res_logits.cpu()  # to keep many results out of GPU memory
        self._explain = explain

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        return f'Segmentation({self.path or "image"}, {width} x {height}, {self.present()})'

    def _repr_png_(self) -> bytes:
        return png(self.draw())

    def present(self) -> list[str]:
        """Return the names of the classes in the label map, largest area first."""
        areas = np.bincount(self.label_map[self.label_map != self.unknown], minlength=len(self.classes))
        return [self.classes[i] for i in np.argsort(-areas, kind='stable') if areas[i]]

    def index(self, name: str) -> int:
        """Return the label of a class.

        Raises:
            UserError: If no class has this name.
        """
        if name not in self.classes:
            raise UserError(f'The class {name!r} is not among the segmented classes: expected one of '
                            f'{", ".join(self.classes[:20])}{", ..." * (len(self.classes) > 20)}.')
        return self.classes.index(name)

    @cached_property
    def colours(self) -> np.ndarray:
        """RGB colour of each class, (N, 3) uint8; safe for colour-blind readers, see :func:`distinct_colours`."""
        return distinct_colours(len(self.classes))

    def score(self, name: str) -> np.ndarray:
        """Return the probability of a class at each pixel, (H, W) float32.

        It is the softmax over all classes, or with ``test_cfg.word_softmax`` the highest of the class's words in the
        softmax over all words.

        Raises:
            UserError: If no class has this name.
        """
        return self._logits.probability_map(self.index(name)).numpy()

    def scores(self) -> np.ndarray:
        """Return the probabilities of all classes, (N, H, W) float32. With many classes, :meth:`score` saves memory."""
        return self._logits.probabilities().numpy()

    def draw(self) -> np.ndarray:
        """Draw the label map over the image, with a legend below; RGB, (H', W', 3) uint8."""
        return write_note(draw_overlay(self.image, self.label_map, self.classes, self.colours,
                                       ignore_index=self.unknown), self.note)

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the picture of :meth:`draw`.

        Args:
            path (str | Path): Path of the file. The suffix selects the format. Missing folders are created.
            overwrite (bool): True replaces an existing file.

        Raises:
            UserError: If the file exists and ``overwrite`` is False, can't be written, or has no suffix of a picture.
        """
        save_picture(self.draw(), path, overwrite)

    def save_mask(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the label map as a lossless PNG.

        With at most 255 classes, the PNG has 8 bits and the palette of ``colours``. With more classes, it has 16 bits
        and no palette, since PNG palettes have 256 entries at most.

        Args:
            path (str | Path): Path with the suffix ``.png``. Missing folders are created.
            overwrite (bool): True replaces an existing file.

        Raises:
            UserError: If the file exists and ``overwrite`` is False, can't be written, or has another suffix, or there
                are more than 65535 classes.
        """
        if len(self.classes) > 2**16 - 1:
            raise UserError(f'A PNG mask holds at most 65535 classes, but there are {len(self.classes)}: save '
                            f'label_map with numpy.save.')
        mask = Image.fromarray(self.label_map.astype(np.uint8 if self.unknown == IGNORE else np.uint16))
        if self.unknown == IGNORE:
            mask.putpalette(self._palette().tobytes())
        write_image(mask, path, overwrite, ('.png',))

    def to_labelme(self, image_path: str | Path, tolerance: float = 1) -> dict:
        """Return the content of a labelme file: one polygon per connected region, holes kept.

        Args:
            image_path (str | Path): Path of the image from the folder of the file.
            tolerance (float): Largest distance of a border pixel from its polygon, in pixels. 0 keeps all pixels.

        Raises:
            UserError: If the tolerance is negative or not finite.
        """
        check_number('tolerance (--tolerance)', tolerance, least=0)
        return labelme_record(self.label_map, self.classes, Path(image_path).as_posix(), tolerance)

    def to_coco(self, tolerance: float = 1) -> list[dict]:
        """Return COCO annotations without ``id`` and ``image_id``: one per connected region, holes kept.

        The category of ``classes[i]`` is i + 1. Regions with holes are compressed masks.

        Args:
            tolerance (float): As in :meth:`to_labelme`.

        Raises:
            UserError: If the tolerance is negative or not finite, or a region has holes and pycocotools is missing.
        """
        check_number('tolerance (--tolerance)', tolerance, least=0)
        return coco_annotations(self.label_map, len(self.classes), tolerance)

    def save_labelme(self, path: str | Path, tolerance: float = 1, overwrite: bool = False) -> None:
        """Write a labelme file that refers to the image file. labelme opens it, or finds it beside the image.

        Args:
            path (str | Path): Path with the suffix ``.json``. Missing folders are created.
            tolerance (float): As in :meth:`to_labelme`.
            overwrite (bool): True replaces an existing file.

        Raises:
            UserError: If the image is not a file, or the file exists and ``overwrite`` is False, can't be written, or
                has another suffix.
        """
        if self.path is None:
            raise UserError('The image is not a file, and a labelme file refers to one: segment the path of an image.')
        path = Path(path)
        if path.suffix.lower() != '.json':
            raise UserError(f'{path} does not end in .json: give a name that labelme reads.')
        record = self.to_labelme(os.path.relpath(self.path, path.parent), tolerance)
        with atomic_write(path, overwrite) as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=False, indent=2), 'utf-8')

    def _palette(self) -> np.ndarray:
        """Return the RGB colours of the 256 mask values, (256, 3) uint8."""
        palette = np.pad(self.colours, ((0, 256 - len(self.classes)), (0, 0)))  # values without a class are black
        palette[self.unknown] = UNKNOWN_COLOUR
        return palette
