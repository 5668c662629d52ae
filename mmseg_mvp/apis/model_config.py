"""Search for a model's config, given a config, a checkpoint or only a CLIP."""
import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmseg.registry import MODELS, TRANSFORMS
from torch import nn

from mmseg_mvp.checkpoints import check_checkpoint, checked_fit, read_checkpoint
from mmseg_mvp.clip import TOYS, check_clip
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text import find_text_head
from mmseg_mvp.utils.config import read_config, type_name
from mmseg_mvp.utils.shipped import ROOT
from mmseg_mvp.utils.without_cuda import replace_sync_bn

from .model_check import check_clip_features, prepare_model
from .stored_config import stored_config

CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')
DEFAULT_CLIP = dict(model='ViT-B-16-quickgelu', weights='openai')


def find_config(model: str | Path | Config | dict | None, weights: str | None,
                clip: dict | None) -> tuple[Config, str | None]:
    """Find the config of a model, prepared for inference in one process, and its checkpoint.

    Args:
        model (str | Path | Config | dict, optional): A config, a config file, a shipped config such as
            ``'maskclip/voc_zs'``, or a checkpoint that contains its config.
            None without ``weights`` selects a model without training, see :func:`training_free`.
        weights (str, optional): Path or URL of a checkpoint.
        clip (dict, optional): ``model`` and ``weights`` of a CLIP; they replace those of the config.

    Returns:
        tuple[Config, str | None]: A copy of the config, and the path of the checkpoint or None.

    Raises:
        UserError: If a file is missing, unreadable or has no config, or ``clip`` is given for a config without a CLIP.
    """
    for name, value, kinds in (('model', model, (str, Path, dict, Config)), ('weights', weights, (str, Path))):
        if value is not None and not isinstance(value, kinds) or value == '':
            raise UserError(f'The {name} is {value!r}, a {type(value).__name__}: expected the path of a file, or None.')
    clip = None if clip is None else check_clip(clip)
    if isinstance(model, (str, Path)) and not _is_config(str(model)):
        if weights is not None:
            raise UserError(f'{model} is not a config (its name must end in {", ".join(CONFIG_SUFFIXES)}), and the '
                            f'checkpoint {weights} is given, too: give one checkpoint.')
        model, weights = None, str(model)
    if weights is not None:
        weights = str(weights)
        check_checkpoint(weights)
    cfg = _read(model, weights, clip or DEFAULT_CLIP)
    if not isinstance(cfg.get('model'), dict):  # without a model, mmengine runs the config in the checkpoint
        raise UserError(f'The config {cfg.filename or ""} has no model: expected model = dict(type=..., ...).')
    if clip is not None and not _put_clip(cfg.model, clip):
        raise UserError(f'The model {cfg.model.type} of the config has no clip to replace by {clip}: omit '
                        f'clip.')
    replace_sync_bn(cfg)  # equal in eval mode; SyncBN needs CUDA even there
    return cfg, weights


def _is_config(name: str) -> bool:
    """Return True for the path of a config, and for a name without a file and a suffix: that of a shipped config."""
    suffix = Path(name).suffix
    return suffix in CONFIG_SUFFIXES or not (suffix or '://' in name or os.path.exists(name))


def _read(model: str | Path | Config | dict | None, weights: str | None, clip: dict) -> Config:
    if isinstance(model, (str, Path)):
        return read_config(str(model))
    if isinstance(model, dict):  # mmengine's Config is not a dict
        return Config(model)
    if model is not None:
        return Config(model.to_dict())
    return training_free(clip) if weights is None else config_of(weights)


def shipped_config(name: str) -> Config:
    """Read ``configs/NAME.py`` of the checkout or of the installed package."""
    return read_config(str(ROOT / 'configs' / f'{name}.py'))


def training_free(clip: dict) -> Config:
    """Return the config of a model that needs no training, with the given CLIP.

    It is MaskCLIP (arXiv 2112.01071) with the dense variant ``'auto'``: NACLIP's attention (arXiv 2404.08181) for a ViT
    with a class token. It uses one sentence per name, ``'a photo of a {}.'``, and :func:`method_name` says so. The
    configs of MaskCLIP use 85 sentences, which take 85 times as long to encode after each change of classes. On the toy
    world, the difference is below 0.1 points of mIoU (68.37 and 68.41).

    Args:
        clip (dict): ``model`` and ``weights`` of the CLIP.

    Returns:
        Config: The shipped config with this CLIP. The toy CLIPs have their own config, for small pictures.
    """
    name = 'toy_zs' if clip['model'] in TOYS else 'voc_zs_vit-b16'
    cfg = shipped_config(f'maskclip/{name}')
    cfg.model.clip = clip
    cfg.model.backbone.dense = 'auto'
    cfg.model.decode_head.prompts.templates = 'single'
    return cfg


def config_of(checkpoint: str) -> Config:
    """Read the config that mmengine stores in a checkpoint, without running it.

    Raises:
        UserError: If the checkpoint has no config, or the config can't be read.
    """
    meta = read_checkpoint(checkpoint).get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise UserError(f'checkpoint {checkpoint} has no config, unlike those that tools/train.py writes: give the '
                        f'config, too.')
    return stored_config(text, checkpoint)


def _put_clip(part: Any, clip: dict) -> bool:
    """Replace every ``clip`` in a part of a config, in place; return True if there was any."""
    if isinstance(part, (list, tuple)):
        return any([_put_clip(child, clip) for child in part])
    if not isinstance(part, dict):
        return False
    if found := 'clip' in part:
        part['clip'] = dict(clip)
    return any([_put_clip(child, clip) for key, child in part.items() if key != 'clip']) or found


def inference_pipeline(cfg: Config) -> Compose:
    """Build the config's test pipeline for image arrays without labels. All loading steps are replaced.

    Args:
        cfg (Config): Config with a ``test_pipeline``, as for mmseg's ``inference_model``, or a ``test_dataloader``.

    Returns:
        Compose: Pipeline whose input is ``dict(img=...)``, (H, W, 3) uint8, BGR.

    Raises:
        UserError: If the config has no test pipeline.
    """
    loader = cfg.get('test_dataloader') or {}
    steps = cfg.get('test_pipeline') or loader.get('dataset', {}).get('pipeline')
    if not steps:
        raise UserError('The config has neither a test_pipeline nor a test_dataloader: test_pipeline = '
                        '[dict(type=\'Resize\', ...), dict(type=\'PackSegInputs\')] defines how images are resized.')
    kept = [step for step in steps if not type_name(step).startswith('Load')]
    packs_names = ('PackVocabulary', 'PackLabelList')
    kept = [dict(type='PackSegInputs') if type_name(step) in packs_names else step for step in kept]
    return Compose([TRANSFORMS.build(dict(step)) for step in (dict(type='LoadImageFromNDArray'), *kept)])


def usable_device(device: str | None) -> str:
    """Check that a device is usable and return its name; None selects the best device available.

    Raises:
        UserError: If the device can't be used.
    """
    device = get_device() if device is None else str(device)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'Device \'{device}\' is not available here ({str(error).partition(chr(10))[0]}): omit it, or '
                        f'use \'cpu\'.') from error
    return device


def build_model(cfg: Config, weights: str | None) -> BaseModel:
    """Build a segmentor and load its checkpoint. Raise UserError if it does not classify by text."""
    cfg.model.pop('pretrained', None)
    for note in prepare_model(cfg):
        print_log(note, 'current')
    model = MODELS.build(cfg.model)
    check_clip_features(model)
    model.cfg = cfg
    if find_text_head(model) is None:
        head = getattr(model, 'decode_head', model)
        kind = type(head[-1] if isinstance(head, nn.ModuleList) else head).__name__
        raise UserError(f'{type(model).__name__} with {kind} does not classify by text, so it takes no names: write '
                        f"type='OpenVocabEncoderDecoder' and decode_head=dict(type='MultiPromptTextHead', ...) into "
                        f'the model, or use a config of this project.')
    if weights is not None:
        with checked_fit(model, weights):
            _load_checkpoint_to_model(model, read_checkpoint(weights))
    elif learned := [name for name, value in model.named_parameters() if value.requires_grad]:
        print_log(f'No checkpoint was given, so {", ".join(learned[:5])}{", ..." * (len(learned) > 5)} have their '
                  f'initial, untrained values.', 'current', level=logging.WARNING)
    return model
