"""Images without masks are not scored."""
import re

import pytest
import torch
from fixtures.logs import record_logs
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mmseg_mvp.errors import UserError
from mmseg_mvp.evaluation import LabelledEvaluator, ZeroShotIoUMetric

META = dict(classes=('a', 'b', 'c'))
METRICS = [IoUMetric, ZeroShotIoUMetric]


def sample(index: int, labelled: bool) -> SegDataSample:
    generator = torch.Generator().manual_seed(index)
    made = SegDataSample(metainfo=dict(img_path=f'{index}.jpg'))
    made.pred_sem_seg = PixelData(data=torch.randint(0, 3, (1, 5, 6), generator=generator))
    if labelled:
        made.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 5, 6), generator=generator))
    return made


def evaluate(evaluator: Evaluator, samples: list[SegDataSample]) -> dict:
    evaluator.dataset_meta = META
    for one in samples:
        evaluator.process([one], {})
    return evaluator.evaluate(len(samples))


@pytest.fixture
def said(monkeypatch):
    MMLogger.get_instance('labelled')
    return record_logs(monkeypatch, 'mmseg_mvp.evaluation.labelled_evaluator')


@pytest.mark.parametrize('metric', METRICS)
def test_without_masks_nothing_is_scored_and_this_is_said(metric, said):
    evaluator = LabelledEvaluator(metric())
    assert evaluate(evaluator, [sample(index, False) for index in range(2)]) == {}
    assert len(said) == 1 and re.match('None of the 2 images has a mask: there is nothing to score', said[0])
    assert evaluator.metrics[0].results == [] and evaluate(evaluator, [sample(0, True)]) != {}


@pytest.mark.parametrize('metric', METRICS)
def test_images_with_masks_are_scored_as_if_they_were_alone(metric, said):
    labelled = [sample(index, True) for index in range(2)]
    expected = evaluate(Evaluator(metric()), labelled)
    assert evaluate(LabelledEvaluator(metric()), [labelled[0], sample(5, False), labelled[1]]) == expected
    assert said == ['1 of 3 images have no mask and are not scored.']


@pytest.mark.parametrize('metric', METRICS)
def test_with_masks_nothing_changes(metric, said):
    labelled = [sample(index, True) for index in range(3)]
    assert evaluate(LabelledEvaluator([metric()]), labelled) == evaluate(Evaluator([metric()]), labelled)
    assert said == []


def test_metrics_that_only_write_need_no_masks(said, tmp_path):
    metric = IoUMetric(format_only=True, output_dir=str(tmp_path))
    assert evaluate(LabelledEvaluator([metric, IoUMetric(format_only=True)]), [sample(3, False)]) == {}
    assert [path.name for path in tmp_path.iterdir()] == ['3.png'] and said == []


class Counting(BaseMetric):
    """A metric that compares with no mask."""

    def process(self, data_batch, data_samples):
        self.results += [1 for one in data_samples if 'gt_sem_seg' not in one]

    def compute_metrics(self, results):
        return dict(seen=len(results))


def test_metrics_of_another_kind_get_the_samples_as_they_are(said):
    assert evaluate(LabelledEvaluator(Counting()), [sample(0, False), sample(1, False)]) == dict(seen=2)
    assert said == []


@pytest.mark.parametrize('metrics, words', [
    ([IoUMetric(), IoUMetric(iou_metrics=['mDice'])], 'results would have equal names'),
    ([ZeroShotIoUMetric(), IoUMetric()], 'results would have equal names'),
    (IoUMetric(iou_metrics=['mIOU']), "iou_metrics of IoUMetric has 'mIOU': set names of mIoU, mDice, mFscore")])
def test_faults_that_would_lose_the_results_are_told_first(metrics, words):
    with pytest.raises(UserError, match=words):
        LabelledEvaluator(metrics)


def test_metrics_of_other_prefixes_pass(tmp_path):
    LabelledEvaluator([IoUMetric(), IoUMetric(prefix='b'), IoUMetric(output_dir=str(tmp_path), format_only=True)])
