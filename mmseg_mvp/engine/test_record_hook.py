"""Hook for the record of ``tools/test.py --record``."""
import json
import math
import sys
import time
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.utils.wrappers import unwrapped


@HOOKS.register_module()
class TestRecordHook(Hook):
    """Hook that writes the result of a test as JSON.

    The file has ``metrics`` (percent), ``classes`` (a dict per class, from the first metric that has the table),
    ``dataset`` (its class), ``images`` (their number), ``seconds`` of the test loop, ``peak_memory_mib`` (of the GPU
    with CUDA, else of the process; the largest of all processes), ``device``, ``random_seed``, and ``clip`` (name,
    weights and fingerprint, or null). Values that are not finite are null.

    Args:
        file (str): New file.
    """
    __test__ = False  # not a test of pytest

    def __init__(self, file: str) -> None:
        self.file = file

    def before_test(self, runner) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write the file."""
        seconds, memory = time.perf_counter() - self._start, torch.tensor(float(_peak_memory()))
        all_reduce(memory, 'max')
        if not is_main_process():
            return
        dataset = runner.test_dataloader.dataset
        tables = [metric.classes for metric in runner.test_evaluator.metrics if getattr(metric, 'classes', None)]
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        content = dict(metrics=metrics or {}, classes=tables[0] if tables else [], seconds=round(seconds, 1),
                       peak_memory_mib=memory.item(), device=device, random_seed=runner.seed,
                       clip=_clip(runner.model), dataset=type(dataset).__name__, images=len(dataset))
        with atomic_write(self.file) as temporary:
            temporary.write_text(json.dumps(_finite(content), indent=1, ensure_ascii=False), 'utf-8')


def _peak_memory() -> float:
    """Return the peak memory of this process so far, in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() // 2**20
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used // 2**20 if sys.platform == 'darwin' else used // 2**10


def _clip(model: torch.nn.Module) -> dict[str, str] | None:
    """Return the identity of the CLIP of a model."""
    for module in unwrapped(model).modules():
        clip = getattr(module, 'clip', None)
        if hasattr(clip, 'fingerprint'):
            return dict(name=clip.name, weights=clip.weights, fingerprint=clip.fingerprint)
    return None


def _finite(value: Any) -> Any:
    """Replace numbers that are not finite by None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
