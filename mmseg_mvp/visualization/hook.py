"""Hook for the pictures of ``tools/test.py --show-dir``."""
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from ..datasets import PictureNames
from ..models.segmentors import CLIPEncoderDecoder
from ..models.utils.explanation import Explanation
from ..models.utils.ignored_label import ignored_label
from ..utils.pixels import MAX_PIXELS, read_file
from ..vocabularies import class_names
from .explanation import draw_explanation
from .palette import distinct_colours
from .side_by_side import side_by_side


@HOOKS.register_module()
class SideBySideVisualizationHook(Hook):
    """Hook that draws image, ground truth and prediction of validation and test samples side by side.

    mmseg's SegVisualizationHook reads images from files. Without a file, as in the toy world, this hook uses the pixels
    of the batch. Nothing is drawn if ``out_dir``, ``show`` and ``draw`` are all unset.

    Args:
        out_dir (str, optional): Folder of the pictures, named by :class:`~mmseg_mvp.datasets.PictureNames`. None writes
            no files.
        interval (int): Draw every ``interval``-th image of a pass.
        show (bool): If True, show each picture in a window.
        wait_time (float): Seconds until the window closes; 0 waits for a key.
        unseen (str | Sequence[str]): Classes marked as unseen in the legend, as names or a vocabulary such as
            ``'voc20:unseen'``.
        ignore_index (int, optional): Ground truth label of ignored pixels; None takes that of the model's head.
        draw (bool): If True, pass the pictures to the backends of the runner's visualizer (``vis_backends``), such as
            TensorboardVisBackend.
        explain (bool): If True, also draw the label map over the image, a row of maps for each class and, with GPR, the
            presence of the classes. It needs an additional pass per image.
    """

    def __init__(self, out_dir: str | None = None, interval: int = 1, show: bool = False, wait_time: float = 0.,
                 unseen: str | Sequence[str] = (), ignore_index: int | None = None, draw: bool = False,
                 explain: bool = False) -> None:
        self.out_dir = Path(out_dir) if out_dir else None
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.unseen = frozenset(class_names(unseen) if unseen else ())
        self.ignore_index = ignore_index
        self.draw = draw
        self.explain = explain
        self._count = 0

    def before_val(self, runner: Runner) -> None:
        """Name the validation images."""
        self._start(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Name the test images."""
        self._start(runner.test_dataloader.dataset)

    def after_val(self, runner: Runner) -> None:
        """Log the folder of the pictures."""
        self._report(runner)

    def after_test(self, runner: Runner) -> None:
        """Log the folder of the pictures."""
        self._report(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Draw the outputs of a validation batch."""
        self._draw_batch(runner, 'val', data_batch, outputs)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[SegDataSample] | None = None) -> None:
        """Draw the outputs of a test batch."""
        self._draw_batch(runner, 'test', data_batch, outputs)

    @property
    def _draws(self) -> bool:
        return bool(self.out_dir or self.show or self.draw)

    def _start(self, dataset: Dataset) -> None:
        self._count, self._names = 0, PictureNames(dataset) if self._draws else None

    def _report(self, runner: Runner) -> None:
        if self.out_dir:
            runner.logger.info(f'Pictures (image, ground truth, prediction) are in {self.out_dir}')

    def _draw_batch(self, runner: Runner, mode: str, data_batch: dict, outputs: Sequence[SegDataSample]) -> None:
        if not self._draws:
            return
        metainfo = getattr(runner, f'{mode}_dataloader').dataset.metainfo
        rank, world_size = get_dist_info()
        for position, sample in enumerate(outputs):
            if self._count % self.interval == 0:
                name = self._names(sample, self._count * world_size + rank)
                for kind, picture in self._pictures(runner, metainfo, data_batch['inputs'], position, sample):
                    self._hand_out(runner, mode, name + kind, picture)
            self._count += 1

    def _pictures(self, runner: Runner, metainfo: dict, inputs: Sequence, position: int,
                  sample: SegDataSample) -> Iterator[tuple[str, np.ndarray]]:
        """Draw all pictures of a sample.

        Yields:
            tuple[str, np.ndarray]: Suffix of the file name, and the picture, (H', W', 3) uint8.
        """
        image, labels = read_image(sample, inputs, position), sample.pred_sem_seg.data[0].cpu().numpy()
        truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        classes, colours = names_and_colours(sample, metainfo)
        ignored = ignored_label(runner.model) if self.ignore_index is None else self.ignore_index
        yield '', side_by_side(image, labels, truth, classes, colours, self.unseen, ignored)
        if self.explain:
            explanation = explained(runner.model, inputs, position, sample)
            logits = sample.get('low_res_logits')  # mmseg's own models have none
            for kind, picture in draw_explanation(image, labels, classes, colours, explanation, logits):
                yield f'__{kind}', picture

    def _hand_out(self, runner: Runner, mode: str, name: str, picture: np.ndarray) -> None:
        if self.out_dir:
            path = self.out_dir / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        if self.draw:  # backends that write files make no folders
            runner.visualizer.add_image(f'{mode}_{name}'.replace('/', '__'), picture, runner.iter)
        if self.show:
            runner.visualizer.show(picture, name, wait_time=self.wait_time)


def sample_classes(sample: SegDataSample) -> list[str]:
    """Return the names in a sample's own vocabulary, or an empty list."""
    return list(sample.metainfo.get('vocabulary') or ())


def names_and_colours(sample: SegDataSample, metainfo: dict) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """Return class names and RGB colours of a sample.

    Names are its own vocabulary, if present, else those in the data set. Colours are the palette of the data set if its
    length fits, else :func:`distinct_colours`.
    """
    classes, palette = tuple(sample_classes(sample) or metainfo['classes']), metainfo.get('palette') or ()
    return classes, palette if len(palette) == len(classes) else distinct_colours(len(classes))


def explained(model: nn.Module, inputs: Sequence, position: int, sample: SegDataSample) -> Explanation | None:
    """Compute the maps of each prompt for an image of a batch, or return None for a model without ``explain``.

    ``inputs`` has the BGR images before the data preprocessor, (3, h, w) each.
    """
    model = model.module if is_model_wrapper(model) else model
    if not isinstance(model, CLIPEncoderDecoder):
        return None
    batch = dict(inputs=[inputs[position]], data_samples=[SegDataSample(metainfo=sample.metainfo)])
    return model.explain(**model.data_preprocessor(batch, False))[0]


def read_image(sample: SegDataSample, inputs: Sequence, position: int) -> np.ndarray:
    """Return the original RGB image of a sample in the size of its label maps, (H, W, 3) uint8.

    ``inputs`` has the BGR images of the batch before the data preprocessor, (3, h, w) each. For test time augmentation,
    it has a sequence of these for each augmentation.
    """
    path, (height, width) = sample.get('img_path'), sample.pred_sem_seg.shape[-2:]
    if path and Path(path).is_file():
        image = read_file(path, max(MAX_PIXELS, height * width))  # the pipeline accepted this size
    else:
        first = inputs[0] if isinstance(inputs[0], Sequence) else inputs
        image = np.ascontiguousarray(first[position].cpu().numpy().transpose(1, 2, 0)[..., ::-1])
    return image if image.shape[:2] == (height, width) else mmcv.imresize(image, (width, height))
