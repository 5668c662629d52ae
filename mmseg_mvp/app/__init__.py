"""Application: command line tools and web page. The library does not import it.

The modules of the web page are imported by ``tools/app.py`` only, because they need the extra ``web``.
"""
from mmseg_mvp.checkpoints import check_checkpoint
from mmseg_mvp.utils.config import merge_options, read_config
from mmseg_mvp.utils.files import check_apart, check_new_folder

from .arguments import (
    OptionsAction,
    add_common_arguments,
    add_model_arguments,
    add_trust_argument,
    build_inferencer,
    load_config,
)
from .errors import user_errors
from .pipelines import use_tta
from .processes import disconnect, gather
from .runner import build_runner, evaluators

__all__ = ['OptionsAction', 'add_common_arguments', 'add_model_arguments', 'add_trust_argument', 'build_inferencer',
           'build_runner', 'check_apart', 'check_checkpoint', 'check_new_folder', 'disconnect', 'evaluators', 'gather',
           'load_config', 'merge_options', 'read_config', 'use_tta', 'user_errors']
