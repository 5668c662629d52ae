"""Metrics of zero-shot and few-shot segmentation."""
from .few_shot_iou import FewShotIoUMetric
from .labelled_evaluator import LabelledEvaluator
from .zero_shot_iou import ZeroShotIoUMetric

__all__ = ['FewShotIoUMetric', 'LabelledEvaluator', 'ZeroShotIoUMetric']
