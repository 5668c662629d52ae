"""Test time augmentation from logits at feature resolution."""
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.utils import SampleList

from .label_map import mean_label_map


@MODELS.register_module()
class LowResSegTTAModel(SegTTAModel):
    """mmseg's ``SegTTAModel`` for ``CLIPEncoderDecoder``: averages the views' probabilities tile by tile.

    The result is that of ``SegTTAModel``; no view's logits exist at full size.
    """

    def merge_preds(self, data_samples_list: list[SampleList]) -> SampleList:
        """Merge the views of each image.

        Args:
            data_samples_list (list[list[SegDataSample]]): Predictions of all views, with ``low_res_logits``, for each
                image.

        Returns:
            list[SegDataSample]: The first view's sample of each image, with the merged ``pred_sem_seg`` (1, H, W).
        """
        merged = []
        for views in data_samples_list:
            labels = mean_label_map([sample.pop('low_res_logits').view() for sample in views])
            merged.append(views[0])
            merged[-1].pred_sem_seg = PixelData(data=labels[None])
        return merged
