"""The record of a test: what was measured, on which CLIP, and the cost."""
import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

from mmseg_mvp.clip import load_clip
from mmseg_mvp.engine import TestRecordHook
from mmseg_mvp.errors import UserError


def runner(metrics=(), model=None):
    evaluator = SimpleNamespace(metrics=list(metrics))
    loader = SimpleNamespace(dataset=range(5))
    return SimpleNamespace(seed=7, test_evaluator=evaluator, model=model or torch.nn.Identity(), test_dataloader=loader)


def test_values_that_are_not_finite_are_null_and_seconds_are_those_of_the_test(tmp_path):
    hook = TestRecordHook(str(tmp_path / 'a.json'))
    hook.before_test(runner())
    time.sleep(0.3)
    tables = [], [dict(name='ä', iou=math.nan, acc=5.)], [dict(name='b')]
    metrics = [SimpleNamespace(), *(SimpleNamespace(classes=table) for table in tables)]
    hook.after_test_epoch(runner(metrics), dict(mIoU=1.25, hIoU=math.inf))
    found = json.loads((tmp_path / 'a.json').read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found['metrics'] == dict(mIoU=1.25, hIoU=None) and found['classes'] == [dict(name='ä', iou=None, acc=5.)]
    assert found['random_seed'] == 7 and (found['dataset'], found['images']) == ('range', 5)
    assert 0.25 < found['seconds'] < 5 and found['clip'] is None
    if not torch.cuda.is_available():
        assert found['device'] == 'CPU' and 50 < found['peak_memory_mib'] < 10**5


def test_the_clip_is_named_with_its_fingerprint(tmp_path, tiny_rn):
    clip = load_clip(**tiny_rn)
    model = torch.nn.Sequential(torch.nn.Identity())
    model[0].clip = clip
    hook = TestRecordHook(str(tmp_path / 'a.json'))
    hook.before_test(runner())
    hook.after_test_epoch(runner(model=model), {})
    found = json.loads((tmp_path / 'a.json').read_text())
    assert found['clip'] == dict(name=tiny_rn['model'], weights='random', fingerprint=clip.fingerprint)


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / 'a.json').write_text('mine')
    hook = TestRecordHook(str(tmp_path / 'a.json'))
    hook.before_test(runner())
    with pytest.raises(UserError, match='exists already'):
        hook.after_test_epoch(runner(), {})
    assert (tmp_path / 'a.json').read_text() == 'mine'
