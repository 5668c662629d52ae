"""CLIP models by name and weights, loaded once per process, with a fingerprint of the weights."""
import difflib
import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from mmengine.logging import print_log
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from safetensors.torch import load_file
from torch import nn

from mmseg_mvp.checkpoints import read_file
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import TRUST, StandIn, module_tensors

from .image_tower import ResNetTower, ViTTower, dense_tower
from .shipped_model import SHIPPED, build_from_config, expand_token_table

# Entries of OpenAI's archives that are not weights.
_OPENAI_EXTRAS = ('input_resolution', 'context_length', 'vocab_size')


@dataclass(frozen=True, eq=False)
class LoadedCLIP:
    """CLIP model and its identity.

    Attributes:
        model (nn.Module): open_clip model in float32 and eval mode, without gradients.
        name (str): open_clip model name or path of the config file.
        weights (str): Pretrained tag, path of the weights file, or ``'random'``.
        fingerprint (str): First 16 hexadecimal digits of the SHA-256 of all weights.
        tokenizer (open_clip.SimpleTokenizer): CLIP's byte pair encoding.
    """
    model: nn.Module
    name: str
    weights: str
    fingerprint: str
    tokenizer: open_clip.SimpleTokenizer

    def __deepcopy__(self, memo: dict) -> 'LoadedCLIP':
        return self

    def dense_tower(self, variant: str = 'maskclip') -> ResNetTower | ViTTower:
        """Return the image tower for dense features, see :func:`mmseg_mvp.clip.image_tower.dense_tower`."""
        return dense_tower(self.model.visual, variant, self.name)

    def describe(self) -> str:
        """Return name, weights and fingerprint as a phrase for messages."""
        return f"'{self.name}' with weights '{self.weights}' (fingerprint {self.fingerprint})"


@lru_cache(maxsize=2)
def load_clip(model: str, weights: str | None = None) -> LoadedCLIP:
    """Load a CLIP. Later calls with the same arguments return the same object.

    Args:
        model (str): open_clip model name (``'RN50-quickgelu'``), ``'toy-rn'`` for the shipped toy, or path of a JSON
            model config.
        weights (str, optional): Pretrained tag of open_clip (``'openai'``), ``'toy'`` for the toy, or path of a file
            (state dict of open_clip or OpenAI, OpenAI's TorchScript archive, safetensors). None takes random weights
            from a fixed seed and logs a warning.

    Returns:
        LoadedCLIP: Model, tokenizer and fingerprint.

    Raises:
        UserError: If the model or weights are unknown, missing or unreadable, or do not match each other.
    """
    config = _config_file(model)
    if config is None:
        _check_name(model)
    if weights is None:
        print_log(f"CLIP '{model}' has random weights, so its predictions are meaningless: set clip.weights to a "
                  f"pretrained tag or a file.", 'current', level=30)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same random weights in every process
        clip = _build(model, config, weights)
    clip = clip.float().eval().requires_grad_(False)
    return LoadedCLIP(clip, model, weights or 'random', fingerprint(clip),
                      open_clip.SimpleTokenizer(context_length=clip.context_length))


def fingerprint(module: nn.Module) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all names, shapes and values of the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f'{name}{tuple(value.shape)}'.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _config_file(model: str) -> Path | None:
    shipped = SHIPPED / f'{model}.json'
    if shipped.is_file():
        return shipped
    if not model.endswith('.json'):
        return None
    if not os.path.isfile(model):
        raise UserError(f"The CLIP model config '{model}' does not exist: set clip.model to an open_clip name or "
                        f'to the path of a JSON file.')
    return Path(model)


def _build(model: str, config: Path | None, weights: str | None) -> nn.Module:
    if config is not None:
        clip = _build_config(config)
        weights = str(SHIPPED / f'{model}.safetensors') if weights == 'toy' else weights
    elif weights in open_clip.list_pretrained_tags_by_model(model):
        return _download(model, weights)
    else:
        clip = open_clip.create_model(model, load_weights=False, pretrained_image=False, pretrained_text=False)
    if weights is not None:
        _load_file(clip, model, weights)
    return clip


def _build_config(config: Path) -> nn.Module:
    try:
        return build_from_config(config)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"The CLIP model config '{config}' can't be used ({type(error).__name__}: {error}): expected "
                        f'JSON with embed_dim, vision_cfg and text_cfg, as in open_clip/model_configs.') from error


def _download(model: str, tag: str) -> nn.Module:
    try:
        return open_clip.create_model(model, pretrained=tag)
    except Exception as error:  # the hub client raises various exceptions
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"The weights '{tag}' of CLIP '{model}' could not be downloaded ({reason}): check the network, "
                        f'or download the file elsewhere and set clip.weights to its path.') from error


def _load_file(clip: nn.Module, model: str, path: str) -> None:
    if not os.path.isfile(path):
        tags = ', '.join(open_clip.list_pretrained_tags_by_model(model)) or 'none'
        raise UserError(f"The weights '{path}' of CLIP '{model}' were not found: expected a file, or one of this "
                        f"model's pretrained tags ({tags}).")
    state = _fit_layout(clip, _read_state_dict(path))
    try:
        clip.load_state_dict(state, strict=True)
    except RuntimeError as error:
        found = len(state.keys() & clip.state_dict().keys())
        raise UserError(f"The weights file '{path}' does not fit CLIP '{model}': {found} of its {len(state)} tensors "
                        f'have names of this architecture, and names or shapes differ; set clip.model to the model '
                        f'that the file was saved from.') from error


def _read_state_dict(path: str) -> dict[str, torch.Tensor]:
    """Read a state dict from any supported format without executing code from the file."""
    try:
        if path.endswith('.safetensors'):
            return load_file(path)
        state = _state_dict(read_file(path), path)
        return {key.removeprefix('module.'): value for key, value in state.items() if key not in _OPENAI_EXTRAS}
    except UserError:
        raise
    except Exception as error:  # each format raises its own exceptions
        raise UserError(f"The weights file '{path}' can't be read ({type(error).__name__}): it is truncated or not "
                        f'a safetensors file, PyTorch state dict or TorchScript archive; download it again.') from error


def _state_dict(content: Any, path: str) -> dict[str, torch.Tensor]:
    """Extract the state dict from file content: a state dict, a checkpoint, or a TorchScript module.

    Raises:
        UserError: If the content is of another type.
    """
    if isinstance(content, nn.Module):  # from a trusted file
        return content.state_dict()
    if isinstance(content, StandIn) and content.kind.startswith('__torch__.'):
        return dict(module_tensors(content))
    if not isinstance(content, dict):
        found = content if isinstance(content, StandIn) else type(content).__name__
        raise UserError(f"The weights file '{path}' holds an object of type {found}: expected a state dict; "
                        f'save the state_dict() alone, or, {TRUST}.')
    return content.get('state_dict', content)


def _fit_layout(clip: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert a state dict to the layout of ``clip``."""
    state = convert_state_dict(clip, expand_token_table(clip, state))
    if 'positional_embedding' in state and not hasattr(clip, 'positional_embedding'):
        state = convert_to_custom_text_state_dict(state)
    if 'logit_scale' in state:
        state['logit_scale'] = state['logit_scale'].reshape(clip.logit_scale.shape)
    return state


def _check_name(model: str) -> None:
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.4)
        raise UserError(f"There is no CLIP model '{model}': expected an open_clip name (similar: {', '.join(near)}), "
                        f"'toy-rn', or the path of a JSON model config.")
    if open_clip.get_model_config(model)['text_cfg'].get('hf_tokenizer_name') or 'siglip' in model.lower():
        raise UserError(f"The text tower of CLIP '{model}' uses a tokenizer of its own: expected CLIP's byte pair "
                        f'encoding; choose an open_clip model with a causal text tower, such as RN50, ViT-B-16 or '
                        f'ViT-L-14 (OpenAI, LAION, DataComp, MetaCLIP, DFN).')
