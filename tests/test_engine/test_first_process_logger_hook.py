"""Only the first process writes the metrics of a test."""
import json
from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.logging import MMLogger

from mmseg_mvp.engine import FirstProcessLoggerHook


@pytest.mark.parametrize('rank', [0, 1])
def test_one_file_has_one_writer(rank, tmp_path):
    processor = SimpleNamespace(get_log_after_epoch=lambda *args, **kwargs: ({'hIoU': 12.5}, 'hIoU: 12.5'))
    runner = SimpleNamespace(log_processor=processor, log_dir=str(tmp_path), test_dataloader=[0],
                             logger=MMLogger.get_instance('one_writer'))
    hook = FirstProcessLoggerHook()
    hook.json_log_path = 'metrics.json'
    with mock.patch('mmengine.dist.utils.get_rank', return_value=rank):
        hook.after_test_epoch(runner)
    written = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert written == ({'metrics.json': {'hIoU': 12.5}} if rank == 0 else {})
