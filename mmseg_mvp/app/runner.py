"""Runner of the training and test tools."""
import os
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_mvp.datasets.checks import check_data
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.segmentors import OpenVocabEncoderDecoder
from mmseg_mvp.models.segmentors.normalisation import warn_of_other_normalisation
from mmseg_mvp.utils import without_cuda


def evaluators(cfg: Config) -> list[dict]:
    """Return the test metrics of a config as a list; the config may hold none, one or a list."""
    metrics = cfg.get('test_evaluator') or []
    return metrics if isinstance(metrics, list) else [metrics]


def build_runner(cfg: Config, loaders: Sequence[str], skip_data_check: bool = False) -> Runner:
    """Check the data of the named data loaders, then build the Runner.

    Without CUDA, `without_cuda.adapt` changes the config first, and the changes are logged.

    Args:
        cfg (Config): Config, which may change in place.
        loaders (Sequence[str]): Names of the data loaders that the run uses.
        skip_data_check (bool): If True, check only folders and the encoding of lists.

    Raises:
        UserError: If data is missing (the message shows the expected tree), the ``load_from`` checkpoint is missing, or
            a component refuses its settings.
    """
    notes = check_data(cfg, loaders, files=not skip_data_check)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not os.path.isfile(os.path.expanduser(weights)):
        raise UserError(f'load_from {weights} does not exist: give an existing checkpoint, or omit load_from')
    notes += without_cuda.adapt(cfg)
    hooks = cfg.get('custom_hooks') or []
    if not any(str(hook.get('type')).endswith('LabelCheckHook') for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='mmseg.LabelCheckHook')]
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for note in notes:
        runner.logger.warning(note)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not isinstance(model, OpenVocabEncoderDecoder):  # ours has warned already
        warn_of_other_normalisation(model)
    return runner
