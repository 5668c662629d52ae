"""CLIP models by name and weights, loaded once per process, with a fingerprint of all that changes their outputs."""
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import open_clip
import torch
from mmengine.logging import print_log
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.pretrained import get_pretrained_cfg
from torch import nn

from mmseg_mvp.errors import UserError

from .building import SHIPPED, build, find_config
from .config import check_clip, check_normalisation
from .dense_tower import DenseTower, dense_tower, variant_name
from .download import download
from .identity import fingerprint, weights_hash
from .layouts import arrange
from .misfit import check_fit
from .published import Facts, of_all_tags, of_config, of_tag
from .tokenizers import Tokenizer, build_tokenizer
from .weights_file import WeightsFile, read_weights


@dataclass(frozen=True, eq=False)
class LoadedCLIP:
    """CLIP model and its identity.

    Attributes:
        model (nn.Module): open_clip model in float32 and eval mode, without gradients.
        name (str): open_clip model name or path of the config file.
        weights (str): Pretrained tag, path of the weights file, or ``'random'``.
        fingerprint (str): First 16 hexadecimal digits of the SHA-256 of weights, architecture, normalisation
            and a tokenizer other than CLIP's.
        weights_hash (str): The same of the weights alone.
        tokenizer (Tokenizer): CLIP's byte pair encoding, or the tokenizer of a Hugging Face repository.
        mean (tuple[float, ...]): Mean of each channel of the images, RGB, 0 to 1.
        std (tuple[float, ...]): Standard deviation of each channel, RGB, 0 to 1.
    """
    model: nn.Module
    name: str
    weights: str
    fingerprint: str
    weights_hash: str
    tokenizer: Tokenizer
    mean: tuple[float, ...] = OPENAI_DATASET_MEAN
    std: tuple[float, ...] = OPENAI_DATASET_STD

    def __deepcopy__(self, memo: dict) -> 'LoadedCLIP':
        return self

    def dense_tower(self, variant: str | Mapping = 'maskclip') -> DenseTower:
        """Return the image tower for dense features, see :func:`mmseg_mvp.clip.dense_tower.dense_tower`."""
        return dense_tower(self.model.visual, variant, self.name, (self.mean, self.std))

    def variant_name(self, variant: str | Mapping) -> str:
        """Return the name of a dense variant; ``'auto'`` is resolved."""
        return variant_name(self.model.visual, variant)

    def normalisation(self) -> dict[str, list[float]]:
        """Return mean and standard deviation of pixels, RGB, 0 to 255, as mmseg's ``SegDataPreProcessor`` takes."""
        return {name: [round(255 * value, 4) for value in values] for name, values in
                (('mean', self.mean), ('std', self.std))}

    def describe(self) -> str:
        """Return name, weights and fingerprint as a phrase for messages."""
        return f"'{self.name}' with weights '{self.weights}' (fingerprint {self.fingerprint})"


def load_clip(model: str, weights: str | None = None, mean: tuple[float, ...] | None = None,
              std: tuple[float, ...] | None = None, tokenizer: str | None = None) -> LoadedCLIP:
    """Load a CLIP. Later calls with the same arguments return the same object while its files are unchanged.

    A CLIP is its weights, architecture, activation and normalisation. The last two are taken from where they are known:
    from the file, from open_clip's table of pretrained tags and published files, or from config files of Hugging Face
    and open_clip beside the file. A known activation replaces that of the model name, and the log says so.

    Args:
        model (str): open_clip model name (``'RN50-quickgelu'``), ``'toy-rn'`` or ``'toy-vit'`` for a shipped toy, or
            path of a JSON model config.
        weights (str, optional): Pretrained tag of open_clip (``'openai'``), ``'toy'`` for a toy, or path of a file:
            safetensors, ``torch.save`` or TorchScript, with weights in the names of open_clip, OpenAI or Hugging Face,
            under any prefix, see :mod:`mmseg_mvp.clip.layouts`. None takes random weights from a fixed seed and logs a
            warning.
        mean (tuple[float, ...], optional): Mean of each channel of the images, RGB, 0 to 1. None takes the known value,
            else OpenAI's. For a model with a tokenizer of its own, the value that all its tags share is known.
        std (tuple[float, ...], optional): Standard deviation of each channel, as ``mean``.
        tokenizer (str, optional): Folder of tokenizer files, or Hugging Face repository, for a model with a tokenizer
            of its own, such as SigLIP. None takes the repository in the model config.

    Returns:
        LoadedCLIP: Model, tokenizer, normalisation and fingerprint.

    Raises:
        UserError: If the model or weights are unknown, missing or unreadable, or do not match each other.
    """
    clip = check_clip(dict(model=model, weights=weights, mean=mean, std=std, tokenizer=tokenizer))
    return _load(**clip, files=(_file_state(clip['model']), _file_state(clip['weights'])))


def _file_state(name: str | None) -> tuple[str, int, int] | None:
    """Return absolute path, modification time and size of a file that ``name`` may be."""
    path = os.path.abspath(os.path.expanduser(name or ''))
    if os.path.isfile(path):
        state = os.stat(path)
        return path, state.st_mtime_ns, state.st_size


@lru_cache(maxsize=2)
def _load(model: str, weights: str | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None,
          tokenizer: str | None, files: tuple) -> LoadedCLIP:
    """Load as :func:`load_clip`; ``files`` belongs to the key of the cache alone."""
    config = find_config(model)
    text = config.get('text_cfg') or {}
    tokens = build_tokenizer(model, text, tokenizer)
    asked = Facts(None, mean, std, 'clip')
    if weights is None:
        file, facts = None, [asked]
        print_log(f"CLIP '{model}' has random weights, so its predictions are meaningless: set clip.weights to a "
                  f"pretrained tag or a file.", 'current', level=30)
    else:
        file, known = _find_weights(model, weights)
        facts = [asked, *known]
    facts += [of_config(config), *([of_all_tags(model)] if text.get('hf_tokenizer_name') else [])]
    config = _with_activation(model, config, facts)
    mean, std = _normalisation(facts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same random weights in every process
        clip = build(model, config)
    if file is not None:
        steps = _fill(clip, model, file)
        print_log(f"CLIP '{model}' with {_activation(config['quick_gelu'])}, images of mean {mean} and std {std}: "
                  f'{"; ".join(steps)}', 'current')
    clip = clip.float().eval().requires_grad_(False)
    hashed = weights_hash(clip)
    return LoadedCLIP(clip, model, weights or 'random', fingerprint(clip, hashed, mean, std, tokens.identity), hashed,
                      tokens, mean, std)


def _find_weights(model: str, weights: str) -> tuple[WeightsFile, list[Facts]]:
    """Read the file of a pretrained tag or a path; return it and the known settings, the most reliable first."""
    shipped = SHIPPED / f'{model}.safetensors'
    if weights == 'toy' and shipped.is_file():
        return read_weights(str(shipped)), []
    if get_pretrained_cfg(model, weights):
        return read_weights(download(model, weights)), [of_tag(model, weights)]
    path = os.path.expanduser(weights)
    if not os.path.isfile(path):
        tags = ', '.join(open_clip.list_pretrained_tags_by_model(model)) or 'none'
        raise UserError(f"The weights '{weights}' of CLIP '{model}' were not found: expected a file, or one of this "
                        f"model's pretrained tags ({tags}).")
    file = read_weights(path)
    return file, file.facts


def _with_activation(model: str, config: dict, facts: list[Facts]) -> dict:
    """Set the known activation in a model config. Log it if the config has the other one."""
    named = bool(config.get('quick_gelu', False))
    found = next((one for one in facts if one.quick_gelu is not None), Facts(named))
    if found.quick_gelu != named:
        print_log(f"CLIP '{model}' is built with {_activation(found.quick_gelu)} instead of {_activation(named)}, "
                  f'according to {found.source}; set clip.model to a name that agrees.', 'current', level=30)
    return dict(config, quick_gelu=found.quick_gelu)


def _activation(quick_gelu: bool) -> str:
    return 'QuickGELU' if quick_gelu else 'GELU'


def _normalisation(facts: list[Facts]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the first known mean and standard deviation, else OpenAI's."""
    mean, std = (next((one for one in facts if getattr(one, name) is not None), None) for name in ('mean', 'std'))
    return (OPENAI_DATASET_MEAN if mean is None else check_normalisation(f'mean of {mean.source}', mean.mean, False),
            OPENAI_DATASET_STD if std is None else check_normalisation(f'std of {std.source}', std.std, True))


def _fill(clip: nn.Module, model: str, file: WeightsFile) -> list[str]:
    """Load the weights of a file into a model; return what was done, for the log."""
    arranged = arrange(clip, file.tensors, file.path)
    check_fit(clip, model, file.path, arranged)
    clip.load_state_dict(arranged.state, strict=False)
    return [f'{len(arranged.state)} tensors loaded from {file.path}', *arranged.steps]
