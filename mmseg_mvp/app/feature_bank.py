"""Training of the tools from a feature bank."""
import inspect
import reprlib
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_mvp.apis import build_bank
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.segmentors.feature_inputs import accept_features
from mmseg_mvp.utils.wrappers import unwrapped

# Settings of `feature_bank` in a config; `dir` is the folder.
SETTINGS = ('dir', *(name for name in inspect.signature(build_bank).parameters
                     if name not in ('cfg', 'folder', 'model')))


def set_feature_bank(cfg: Config, folder: str | None) -> None:
    """Set the folder of ``feature_bank`` in a config, in place, and check its settings. None keeps the config's folder.

    Raises:
        UserError: If ``feature_bank`` is not a dict, has an unknown setting, or has no folder.
    """
    settings = cfg.get('feature_bank')
    if settings is not None and not isinstance(settings, Mapping):
        raise UserError(f"feature_bank is {reprlib.repr(settings)}: expected a dict such as dict(dir='bank', "
                        f'augmentations=8), or None.')
    if folder is not None:
        settings = cfg.feature_bank = dict(settings or {}, dir=folder)
    if settings is None:
        return
    if unknown := sorted({*settings} - {*SETTINGS}):
        raise UserError(f'feature_bank has {unknown[0]!r}: its settings are {", ".join(SETTINGS)}.')
    if not isinstance(settings.get('dir'), str) or not settings['dir']:
        raise UserError(f'feature_bank.dir is {settings.get("dir")!r}: set it to the folder of the feature bank, or '
                        f'give --feature-bank DIR.')


def use_feature_bank(runner: Runner) -> None:
    """Build or open the feature bank of a runner's config, if it has one, and train from it.

    Validation, checkpoints and the stored config are those of a training on images.

    Raises:
        UserError: As in :func:`mmseg_mvp.apis.build_bank`.
    """
    settings = dict(runner.cfg.get('feature_bank') or {})
    if not settings:
        return
    model = unwrapped(runner.model)
    dataset = build_bank(runner.cfg, settings.pop('dir'), **settings, model=model)
    accept_features(model)
    runner._train_dataloader['dataset'] = dataset  # runner.cfg, which checkpoints store, stays as it is
