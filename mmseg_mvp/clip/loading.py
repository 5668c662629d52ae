"""A CLIP by name and weights: one copy per process, with a fingerprint of its weights."""
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

from .shipped_model import SHIPPED, build_from_config, expand_token_table

# What OpenAI's archives hold beside the weights.
_OPENAI_EXTRAS = ('input_resolution', 'context_length', 'vocab_size')


@dataclass(frozen=True, eq=False)
class LoadedCLIP:
    """A CLIP model with what identifies it.

    Attributes:
        model (nn.Module): open_clip's model, float32, eval mode, no gradients.
        name (str): The open_clip model name or the config file it was asked for by.
        weights (str): The pretrained tag, the file, or ``'random'``.
        fingerprint (str): 16 hexadecimal digits of the SHA-256 of all weights.
        tokenizer (open_clip.SimpleTokenizer): CLIP's byte pair encoding.
    """
    model: nn.Module
    name: str
    weights: str
    fingerprint: str
    tokenizer: open_clip.SimpleTokenizer

    def __deepcopy__(self, memo: dict) -> 'LoadedCLIP':
        return self

    def describe(self) -> str:
        """Name, weights and fingerprint in one phrase, for messages."""
        return f"'{self.name}' with weights '{self.weights}' (fingerprint {self.fingerprint})"


@lru_cache(maxsize=2)
def load_clip(model: str, weights: str | None = None) -> LoadedCLIP:
    """Load a CLIP once per process; both towers share it.

    Args:
        model (str): An open_clip model name (``'RN50-quickgelu'``), the toy that ships with the package
            (``'toy-rn'``), or the path of a JSON model config.
        weights (str, optional): A pretrained tag of open_clip (``'openai'``), ``'toy'`` for the toy, or a local file
            (open_clip or OpenAI state dict, OpenAI's TorchScript archive, safetensors). None: random weights, always
            the same ones, with a warning.

    Returns:
        LoadedCLIP: The model, its tokenizer, and the fingerprint of its weights.

    Raises:
        UserError: If the model or the weights are unknown, missing, unreadable or of another architecture.
    """
    config = _config_file(model)
    if config is None:
        _check_name(model)
    if weights is None:
        print_log(f"CLIP '{model}' has random weights, so its predictions mean nothing: set clip.weights to a "
                  f"pretrained tag or a file.", 'current', level=30)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights must be the same in every process
        clip = _build(model, config, weights)
    clip = clip.float().eval().requires_grad_(False)
    return LoadedCLIP(clip, model, weights or 'random', fingerprint(clip),
                      open_clip.SimpleTokenizer(context_length=clip.context_length))


def fingerprint(module: nn.Module) -> str:
    """Identify weights by 16 hexadecimal digits of a SHA-256 over names, shapes and values."""
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
        raise UserError(f"The CLIP model config '{model}' does not exist: clip.model takes an open_clip name or the "
                        f'path of a JSON file.')
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
    except Exception as error:  # whatever the hub's client raises when it can't be reached
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"The weights '{tag}' of CLIP '{model}' could not be fetched ({reason}): check the network, or "
                        f'download the file elsewhere and give its path as clip.weights.') from error


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
                        f'have a name that this architecture knows, and names or shapes differ; name the model that '
                        f'the file was saved from.') from error


def _read_state_dict(path: str) -> dict[str, torch.Tensor]:
    """Read any of the file formats, never running code from the file."""
    try:
        if path.endswith('.safetensors'):
            return load_file(path)
        state = _state_dict(read_file(path), path)
        return {key.removeprefix('module.'): value for key, value in state.items() if key not in _OPENAI_EXTRAS}
    except UserError:
        raise
    except Exception as error:  # each format has its own ways to fail on a damaged file
        raise UserError(f"The weights file '{path}' can't be read ({type(error).__name__}): it is truncated or no "
                        f'safetensors, PyTorch state dict or TorchScript archive; fetch it again.') from error


def _state_dict(content: Any, path: str) -> dict[str, torch.Tensor]:
    """The state dict in what a file holds, which is one of a training, one alone, or a TorchScript module."""
    if isinstance(content, nn.Module):  # of a trusted file
        return content.state_dict()
    if isinstance(content, StandIn) and content.kind.startswith('__torch__.'):
        return dict(module_tensors(content))
    if not isinstance(content, dict):
        found = content if isinstance(content, StandIn) else type(content).__name__
        raise UserError(f"The weights file '{path}' holds a {found}, but a state dict is expected: save the "
                        f'state_dict() alone, or, {TRUST}.')
    return content.get('state_dict', content)


def _fit_layout(clip: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a state dict of another writer into the layout of ``clip``."""
    state = convert_state_dict(clip, expand_token_table(clip, state))
    if 'positional_embedding' in state and not hasattr(clip, 'positional_embedding'):
        state = convert_to_custom_text_state_dict(state)
    if 'logit_scale' in state:
        state['logit_scale'] = state['logit_scale'].reshape(clip.logit_scale.shape)
    return state


def _check_name(model: str) -> None:
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.4)
        raise UserError(f"There is no CLIP model '{model}': expected an open_clip name (near it: {', '.join(near)}), "
                        f"'toy-rn', or the path of a JSON model config.")
    if open_clip.get_model_config(model)['text_cfg'].get('hf_tokenizer_name') or 'siglip' in model.lower():
        raise UserError(f"The text tower of CLIP '{model}' has a tokenizer of its own, not CLIP's byte pair encoding: "
                        f'prompts can be learned for open_clip models with a causal text tower, such as RN50, '
                        f'ViT-B-16, ViT-L-14 (OpenAI, LAION, DataComp, MetaCLIP, DFN).')
