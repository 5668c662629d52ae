"""The hook behind `tools/test.py --show-dir`."""
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from ..models.segmentors.explanation import Explanation
from ..vocabularies import class_names
from .explanation import draw_explanation, file_name
from .palette import distinct_colours
from .side_by_side import side_by_side


@HOOKS.register_module()
class SideBySideVisualizationHook(Hook):
    """Draws image, ground truth and prediction of validation and test outputs side by side.

    MMSegmentation's SegVisualizationHook reads every image from a file; this one takes the batch's pixels where there
    is no file, as in the toy world.

    Args:
        out_dir: Folder of the pictures, `<image's stem>.png` each, with the class added for an episode's image, which
            may serve other classes as well; None writes none. Without it, `show` and `draw` nothing is drawn.
        interval: Draw every so many images of a pass.
        show: Show each picture in a window.
        wait_time: Seconds that a window waits; 0 waits for a key.
        unseen: Classes that the legend marks as unseen in training: names, or a vocabulary such as 'voc20:unseen'.
        ignore_index: Ground truth label without a class.
        draw: Hand the pictures to the backends of the runner's visualizer (`vis_backends` of the config, such as
            LocalVisBackend, TensorboardVisBackend, WandbVisBackend).
        explain: Draw, besides, what explains the prediction: the label map over the image, and for models with prompts
            the presence of the classes and what each prompt sees of those predicted. Costs another pass for each image.
    """

    def __init__(self, out_dir: str | None = None, interval: int = 1, show: bool = False, wait_time: float = 0.,
                 unseen: str | Sequence[str] = (), ignore_index: int = 255, draw: bool = False,
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
        """Start counting images."""
        self._count = 0

    def before_test(self, runner: Runner) -> None:
        """Start counting images."""
        self._count = 0

    def after_val(self, runner: Runner) -> None:
        """Say where the pictures are."""
        self._report(runner)

    def after_test(self, runner: Runner) -> None:
        """Say where the pictures are."""
        self._report(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Draw the outputs of a validation batch."""
        self._draw_batch(runner, 'val', data_batch, outputs)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[SegDataSample] | None = None) -> None:
        """Draw the outputs of a test batch."""
        self._draw_batch(runner, 'test', data_batch, outputs)

    def _report(self, runner: Runner) -> None:
        if self.out_dir:
            runner.logger.info(f'Pictures (image, ground truth, prediction) are in {self.out_dir}')

    def _draw_batch(self, runner: Runner, mode: str, data_batch: dict, outputs: Sequence[SegDataSample]) -> None:
        if not (self.out_dir or self.show or self.draw):
            return
        metainfo = getattr(runner, f'{mode}_dataloader').dataset.metainfo
        for position, sample in enumerate(outputs):
            if self._count % self.interval == 0:
                name = picture_name(sample, self._count)
                for kind, picture in self._pictures(runner, metainfo, data_batch['inputs'], position, sample):
                    self._hand_out(runner, mode, name + kind, picture)
            self._count += 1

    def _pictures(self, runner: Runner, metainfo: dict, inputs: Sequence, position: int,
                  sample: SegDataSample) -> Iterator[tuple[str, np.ndarray]]:
        """Pictures of a sample, each with what its name ends in."""
        image, labels = read_image(sample, inputs, position), sample.pred_sem_seg.data[0].cpu().numpy()
        truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        classes, colours = names_and_colours(sample, metainfo)
        yield '', side_by_side(image, labels, truth, classes, colours, self.unseen, self.ignore_index)
        if self.explain:
            explanation = explained(runner.model, inputs, position, sample)
            for kind, picture in draw_explanation(image, labels, classes, colours, explanation):
                yield f'__{kind}', picture

    def _hand_out(self, runner: Runner, mode: str, name: str, picture: np.ndarray) -> None:
        if self.out_dir:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(self.out_dir / f'{name}.png')
        if self.draw:
            runner.visualizer.add_image(f'{mode}_{name}', picture, runner.iter)
        if self.show:
            runner.visualizer.show(picture, name, wait_time=self.wait_time)


def label_list(sample: SegDataSample) -> list[str]:
    """Names of the labels that a sample brings along; none where those of its data set hold."""
    return list(sample.metainfo.get('label_list') or ())


def names_and_colours(sample: SegDataSample, metainfo: dict) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """Names of the labels and their colours: those of the data set, as far as they hold for the sample."""
    classes, palette = tuple(label_list(sample) or metainfo['classes']), metainfo.get('palette') or ()
    return classes, palette if len(palette) == len(classes) else distinct_colours(len(classes))


def explained(model: nn.Module, inputs: Sequence, position: int, sample: SegDataSample) -> Explanation | None:
    """What the prompts of a model see in an image; None for a model without prompts, or one that augments images.

    Args:
        model: In a wrapper or not.
        inputs: The batch's BGR images (3, h, w) before the data preprocessor.
        position: Of the sample in the batch.
        sample: With the image's meta information.
    """
    model = model.module if is_model_wrapper(model) else model
    if not hasattr(model, 'explain'):
        return None
    batch = dict(inputs=[inputs[position]], data_samples=[SegDataSample(metainfo=sample.metainfo)])
    return model.explain(**model.data_preprocessor(batch, False))[0]


def picture_name(sample: SegDataSample, count: int) -> str:
    """File name without ending: the image's own, where it has one, and the class of an episode."""
    stem, names = Path(str(sample.get('img_path') or '')).stem, label_list(sample)
    if stem and len(names) == 2:
        stem = f'{stem}__{names[1]}'
    return file_name(stem) or f'{count:06d}'


def read_image(sample: SegDataSample, inputs: Sequence, position: int) -> np.ndarray:
    """The original image of a sample.

    Args:
        sample: Knows `img_path`, if there is a file, and `ori_shape`.
        inputs: The batch's BGR images (3, h, w) before the data preprocessor; for test time augmentation, one such
            sequence per augmentation.
        position: Of the sample in the batch.

    Returns:
        (H, W, 3) uint8, RGB, in the size of the label maps.
    """
    path = sample.get('img_path')
    if path and Path(path).is_file():
        image = mmcv.imread(path, channel_order='rgb')
    else:
        first = inputs[0] if isinstance(inputs[0], Sequence) else inputs
        image = np.ascontiguousarray(first[position].cpu().numpy().transpose(1, 2, 0)[..., ::-1])
    height, width = sample.pred_sem_seg.shape[-2:]
    return image if image.shape[:2] == (height, width) else mmcv.imresize(image, (width, height))
