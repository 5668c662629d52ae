"""Comparison of a model before and after adaptation on held-out photos: figures, pictures and a page."""
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.utils import track_iter_progress
from torch import Tensor

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.segmentation import save_picture
from mmseg_mvp.datasets.annotations import Converted
from mmseg_mvp.evaluation.zero_shot_iou import ZeroShotIoUMetric, class_iou
from mmseg_mvp.utils.masks import decode_mask
from mmseg_mvp.visualization import distinct_colours
from mmseg_mvp.visualization.legend import draw_legend, resize, stack
from mmseg_mvp.visualization.side_by_side import classes_present, compared_panels, panel_row, panel_size

from .html_page import html_table, write_html

PICTURES, PAGE = 'pictures', 'report.html'


class Comparison(NamedTuple):
    """Result of two models on the same photos.

    Attributes:
        iou (dict[str, Tensor]): IoU of each class in percent by the name of the model, (C,) float64; nan for classes
            without pixels.
        pictures (list[Path]): Picture of each photo.
    """
    iou: dict[str, Tensor]
    pictures: list[Path]

    def mean(self, model: str) -> float:
        """Return the mIoU of a model in percent."""
        return self.iou[model].nanmean().item()


def compare(models: dict[str, OpenVocabInferencer], data: Converted, folder: Path) -> Comparison:
    """Segment the held-out photos of a data folder by several models.

    Args:
        models (dict[str, OpenVocabInferencer]): Models by the titles of their panels.
        data (Converted): Folder of the data.
        folder (Path): Folder for one picture per photo, with photo, truth and predictions.
    """
    count, pictures = len(data.classes), []
    areas = {title: torch.zeros(3, count, dtype=torch.int64) for title in models}
    for stem in track_iter_progress(data.val):
        photo, mask = data.root / 'photos' / f'{stem}{data.img_suffix}', data.root / 'masks' / f'{stem}.png'
        truth = decode_mask(mask.read_bytes(), f'Mask {mask}').values.astype(np.int64)  # (H, W)
        found = {title: seg(photo, data.classes) for title, seg in models.items()}
        for title, out in found.items():
            areas[title] += ZeroShotIoUMetric.intersect_and_union(
                torch.from_numpy(out.label_map), torch.from_numpy(truth), count, data.ignore_index)
        maps = {'truth': truth, **{title: out.label_map for title, out in found.items()}}
        image = next(iter(found.values())).image
        pictures.append(folder / f'{stem}.png')
        save_picture(_draw(image, maps, data.classes, data.ignore_index), pictures[-1])
    return Comparison({title: class_iou(area) for title, area in areas.items()}, pictures)


def _draw(image: np.ndarray, maps: dict[str, np.ndarray], names: Sequence[str], ignored: int) -> np.ndarray:
    """Draw an image (H, W, 3) beside label maps (H, W): RGB, (H', W', 3) uint8. Pixels without truth are hatched."""
    size, palette = panel_size(*image.shape[:2]), distinct_colours(len(names))
    resized = {title: resize(labels, size) for title, labels in maps.items()}
    panels = compared_panels(resized, resized['truth'] != ignored, palette)
    row = panel_row({'photo': resize(image, size, smooth=True), **panels})
    present = classes_present([labels[maps['truth'] != ignored] for labels in maps.values()], len(names))
    return stack(row, draw_legend([(names[i], palette[i]) for i in present], row.shape[1]))


def table(result: Comparison, names: Sequence[str]) -> list[list[str]]:
    """Return the rows of the table of IoU: header, mean, and classes with a figure."""
    rows = [['class', *result.iou], ['mean (mIoU)', *(f'{result.mean(model):.1f}' for model in result.iou)]]
    for index, name in enumerate(names):
        values = [iou[index].item() for iou in result.iou.values()]
        if not all(np.isnan(values)):
            rows.append([name, *(f'{value:.1f}' for value in values)])
    return rows


def write_page(result: Comparison, names: Sequence[str], notes: Sequence[str], folder: Path) -> Path:
    """Write the table and the pictures as one HTML page and return its path."""
    head, *body = table(result, names)
    pictures = [f'<h2>{escape(path.stem)}</h2><img src="{escape(path.relative_to(folder).as_posix())}" alt="">'
                for path in result.pictures]
    write_html(folder / PAGE, 'Adaptation', ['<h1>Before and after adaptation</h1>',
                                             *(f'<p>{escape(note)}</p>' for note in notes), html_table(head, body),
                                             *pictures])
    return folder / PAGE
