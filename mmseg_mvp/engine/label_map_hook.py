"""Hook for the predicted label maps of ``tools/test.py --out``."""
from pathlib import Path

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from mmseg_mvp.datasets import PictureNames
from mmseg_mvp.utils.masks import write_label_map


@HOOKS.register_module()
class LabelMapHook(Hook):
    """Hook that writes the predicted label map of each test image as PNG.

    mmseg's metrics write label maps as well, but of images with equal stems they keep the last one only, and they need
    values below 256. Files have the names of :class:`~mmseg_mvp.datasets.PictureNames`, and 16 bits if a label exceeds
    255. As in mmseg, labels are increased by 1 if the data set has ``reduce_zero_label``.

    Args:
        out_dir (str): Folder of the label maps.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def before_test(self, runner) -> None:
        """Name the test images."""
        self._count, self._names = 0, PictureNames(runner.test_dataloader.dataset)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: list[SegDataSample] | None = None) -> None:
        """Write the label maps (1, H, W) of a batch."""
        rank, world_size = get_dist_info()
        for sample in outputs:
            path = self.out_dir / f'{self._names(sample, self._count * world_size + rank)}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            labels = sample.pred_sem_seg.data[0].cpu().numpy()  # (H, W)
            classes = sample.get('vocabulary') or runner.test_dataloader.dataset.metainfo['classes']
            write_label_map(labels, path, len(classes), bool(sample.get('reduce_zero_label')))
            self._count += 1

    def after_test(self, runner) -> None:
        """Log the folder of the label maps."""
        runner.logger.info(f'Predicted label maps are in {self.out_dir}')
