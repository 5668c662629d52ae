"""Application: command line tools and web page. The library does not import it.

``web/``, the page, is imported by ``tools/app.py`` only, because it needs the extra ``web``.
"""
from mmseg_mvp.checkpoints import check_checkpoint
from mmseg_mvp.utils.config import merge_options, read_config
from mmseg_mvp.utils.files import check_apart, check_new_file, check_new_folder

from .arguments import (
    OptionsAction,
    add_annotation_arguments,
    add_common_arguments,
    add_conversion_arguments,
    add_example_arguments,
    add_limit_argument,
    add_model_arguments,
    add_trust_argument,
    build_inferencer,
    clip_of,
    convert_annotations,
    limit_of,
    load_config,
    put_max_pixels,
    read_class_arguments,
)
from .errors import user_errors
from .feature_bank import set_feature_bank, use_feature_bank
from .pipelines import use_tta
from .processes import disconnect, gather
from .runner import build_runner, evaluators

__all__ = ['OptionsAction', 'add_annotation_arguments', 'add_common_arguments', 'add_conversion_arguments',
           'add_example_arguments', 'add_limit_argument', 'add_model_arguments', 'add_trust_argument',
           'build_inferencer', 'build_runner', 'check_apart', 'check_checkpoint', 'check_new_file', 'check_new_folder',
           'clip_of', 'convert_annotations', 'disconnect', 'evaluators', 'gather', 'limit_of', 'load_config',
           'merge_options', 'put_max_pixels', 'read_class_arguments', 'read_config', 'set_feature_bank',
           'use_feature_bank', 'use_tta', 'user_errors']
