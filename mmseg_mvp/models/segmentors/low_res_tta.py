"""Test time augmentation from logits at feature resolution."""
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.utils import SampleList

from ..utils.decision import best_of
from ..utils.label_map import mean_label_map
from ..utils.refined_logits import RefinedLogits


@MODELS.register_module()
class LowResSegTTAModel(SegTTAModel):
    """mmseg's ``SegTTAModel`` for segmentors with ``low_res_logits``.

    Probabilities of the views are averaged tile by tile, without full-size logits. With ``test_cfg.refine``,
    ``word_softmax`` or a threshold, they are averaged from the full-size probabilities of one view at a time. The
    result equals ``SegTTAModel``, which merges the views of other segmentors.
    """

    def merge_preds(self, data_samples_list: list[SampleList]) -> SampleList:
        """Merge the views of each image into its first sample, with ``pred_sem_seg`` (1, H, W)."""
        if 'low_res_logits' not in data_samples_list[0][0]:
            return super().merge_preds(data_samples_list)
        merged = []
        for views in data_samples_list:
            logits = [sample.pop('low_res_logits') for sample in views]
            rule = logits[0].rule
            if rule is not None or isinstance(logits[0], RefinedLogits):  # these need all classes
                mean = sum(one.probabilities() for one in logits) / len(logits)  # (C, H, W)
                labels = mean.argmax(dim=0) if rule is None else rule.labels(best_of(mean))
            else:
                labels = mean_label_map([one.view() for one in logits])
            merged.append(views[0])
            merged[-1].pred_sem_seg = PixelData(data=labels[None])
        return merged
