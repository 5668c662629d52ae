"""Runner of the training and test tools."""
import os
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import EVALUATOR, HOOKS, RUNNERS

from mmseg_mvp.apis.model_check import check_clip_features, prepare_model
from mmseg_mvp.datasets.checks import check_data, check_kinds
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.segmentors import OpenVocabEncoderDecoder
from mmseg_mvp.models.segmentors.normalisation import warn_of_other_normalisation
from mmseg_mvp.utils import without_cuda
from mmseg_mvp.utils.config import component_class
from mmseg_mvp.utils.reach import check_checkpoint_address, check_pretrained
from mmseg_mvp.utils.wrappers import unwrapped

from .pipelines import omit_masks
from .run_checks import check_run

# Hooks of every run. A config's own list of custom_hooks replaces that of configs/_base_/default_runtime.py.
HOOK_TYPES = ('IterationSeedHook', 'ClassListCheckHook', 'LabelCheckHook', 'TextOncePerStepHook', 'LoopEndHook')


def evaluators(cfg: Config) -> list[dict]:
    """Return the test metrics of a config as a list; the config may hold none, one, a list or an evaluator."""
    metrics = cfg.get('test_evaluator') or []
    if isinstance(metrics, dict) and 'metrics' in metrics:
        metrics = metrics['metrics']
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]


def build_runner(cfg: Config, loaders: Sequence[str], skip_data_check: bool = False) -> Runner:
    """Check the settings and the data of the named data loaders, then build the Runner.

    The config is changed first, and each change is logged: missing hooks of :data:`HOOK_TYPES` are added, and without
    CUDA, `without_cuda.adapt` replaces parts. Images without masks are not scored (:class:`LabelledEvaluator`).

    Args:
        cfg (Config): Config, which may change in place.
        loaders (Sequence[str]): Names of the data loaders that the run uses.
        skip_data_check (bool): If True, check only folders and the encoding of lists.

    Raises:
        UserError: If a setting of the run is not valid (`check_run`), data is missing (the message shows the expected
            tree), the ``load_from`` checkpoint is missing, or a component refuses its settings.
    """
    check_run(cfg, loaders)
    check_kinds(cfg, loaders)
    omit_masks(cfg, loaders)
    notes = check_data(cfg, loaders, files=not skip_data_check)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not os.path.isfile(os.path.expanduser(weights)):
        state = 'is a folder' if os.path.isdir(weights) else 'does not exist'
        raise UserError(f'load_from {weights} {state}: give an existing checkpoint, or omit load_from')
    check_checkpoint_address(weights or '')
    notes += [*prepare_model(cfg), *add_hooks(cfg), *without_cuda.adapt(cfg)]
    skip_unlabelled(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for note in notes:
        runner.logger.warning(note)
    model = unwrapped(runner.model)
    check_clip_features(model)
    if not isinstance(model, OpenVocabEncoderDecoder):  # ours checks and warns itself
        warn_of_other_normalisation(model)
        if 'train_dataloader' in loaders and not cfg.get('resume'):
            check_pretrained(model)
    return runner


def add_hooks(cfg: Config) -> list[str]:
    """Add the hooks of :data:`HOOK_TYPES` that a config lacks, in place; return a sentence for the log, if any."""
    own = [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]
    kinds = {component_class(hook.get('type') if isinstance(hook, dict) else type(hook), HOOKS) for hook in own if hook}
    added = [name for name in HOOK_TYPES if HOOKS.get(name) not in kinds]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), *(dict(type=name) for name in added)]
    return [f'custom_hooks of the config lacks {", ".join(added)}: added.'] if added else []


def skip_unlabelled(cfg: Config) -> None:
    """Replace mmengine's evaluator by one that does not score images without masks, in place."""
    for name in ('val_evaluator', 'test_evaluator'):
        evaluator = cfg.get(name)
        if isinstance(evaluator, dict) and 'metrics' in evaluator:
            if component_class(evaluator.get('type', 'Evaluator'), EVALUATOR) is EVALUATOR.get('Evaluator'):
                cfg[name] = dict(evaluator, type='LabelledEvaluator')
        elif evaluator:
            cfg[name] = dict(type='LabelledEvaluator', metrics=evaluator)
