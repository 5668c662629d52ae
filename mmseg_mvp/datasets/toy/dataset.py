"""Toy world as an mmseg data set, with images generated on access."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_mvp.datasets.toy.scenes import CLASSES, IGNORE, SPLIT_SEEDS, draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number


@DATASETS.register_module()
class ToySceneDataset(BaseSegDataset):
    """Generated scenes of 20 classes, with ignored background. Results say nothing about real images.

    The pipeline begins with :class:`DrawToyScene`. ``metainfo=dict(classes=...)`` sets other classes to 255.

    Args:
        num_images (int): Number of images; they have the indices 0 to ``num_images - 1`` of the split.
        split (str): ``'pretrain'``, ``'train'``, ``'val'`` or ``'test'``, without common images.
        size (int): Side of an image in pixels.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        UserError: If the split is unknown or a number is below 1.
    """

    METAINFO = dict(
        classes=CLASSES,
        palette=[[230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48], [145, 30, 180],
                 [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212], [0, 128, 128], [220, 190, 255],
                 [170, 110, 40], [90, 70, 220], [128, 0, 0], [0, 190, 120], [128, 128, 0], [255, 215, 180],
                 [0, 0, 128], [128, 128, 128]])

    def __init__(self, num_images: int, split: str = 'train', size: int = 64, **kwargs) -> None:
        if not isinstance(split, str) or split not in SPLIT_SEEDS:
            raise UserError(f'split of ToySceneDataset is {split!r}: expected one of {", ".join(SPLIT_SEEDS)}.')
        check_number('num_images of ToySceneDataset', num_images, least=1, whole=True)
        check_number('size of ToySceneDataset', size, least=1, whole=True)
        self.num_images, self.split, self.size = num_images, split, size
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Create one entry per image. The file names are for results only; no such files exist."""
        names = [f'toy_{self.split}_{index:06d}.png' for index in range(self.num_images)]
        return [dict(index=index, split=self.split, size=self.size, img_path=name, seg_map_path=name,
                     label_map=self.label_map, reduce_zero_label=False, seg_fields=[])
                for index, name in enumerate(names)]


@TRANSFORMS.register_module()
class DrawToyScene(BaseTransform):
    """Transform that draws image and label map for an entry of :class:`ToySceneDataset`, in place of loading."""

    def transform(self, results: dict) -> dict:
        """Add ``img`` (size, size, 3), uint8, BGR, and ``gt_seg_map`` (size, size), uint8, to an entry."""
        scene = draw_scene(results['index'], results['split'], results['size'])
        results['img'] = np.ascontiguousarray(scene.image[..., ::-1])
        results['gt_seg_map'] = _renumber(scene.labels, results['label_map'])
        results['seg_fields'].append('gt_seg_map')
        results['img_shape'] = results['ori_shape'] = scene.labels.shape
        return results


def _renumber(labels: np.ndarray, label_map: dict[int, int] | None) -> np.ndarray:
    """Apply the label map of a data set to labels (H, W); the background stays ignored."""
    table = np.full(IGNORE + 1, IGNORE, np.uint8)
    for old in range(len(CLASSES)):
        table[old] = old if label_map is None else label_map[old]
    return table[labels]
