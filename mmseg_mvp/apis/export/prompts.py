"""Learned prompts as one small file: written by one model, read by another, from a disk or from a hub."""
import json
import os
import re
from pathlib import Path

import huggingface_hub
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmseg_mvp.clip import Frozen
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.decode_heads import MultiPromptTextHead
from mmseg_mvp.models.text import TextClassifier
from mmseg_mvp.unpickling import short

from ..files import check_new_file, written_whole
from .common import as_json, origin, text_classifier

FORMAT = 'mmseg_mvp.prompts.1'
# The file's name in a folder or in a repository of a hub.
FILE = 'prompts.safetensors'
# Name in the file -> name in a MultiPromptTextHead; other heads have the contexts only.
LEARNED = dict(contexts='classifier.prompts.contexts', log_tau_1='log_tau_1', log_tau_2='gpr.log_tau')
_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')


def save_prompts(model: BaseModel, path: str | Path) -> None:
    """Write what prompts have learned: context vectors (k+1, M, width), and the temperatures of an MVP-SEG head.

    The metadata names the CLIP with its fingerprint, the prompts' settings, the classes they were learned on, and for
    MVP-SEG over CLIP's own image tower what :func:`from_pretrained` builds it from.

    Args:
        model (BaseModel): A segmentor with ``LearnedPrompts``.
        path (str | Path): New file, ``.safetensors``.

    Raises:
        UserError: If the model has no learned prompts, or the file is there already.
    """
    classifier = text_classifier(model)
    if not hasattr(classifier.prompts, 'contexts'):
        raise UserError(f'The prompts are {type(classifier.prompts).__name__}, of which nothing is learned: give the '
                        f'config of a model with LearnedPrompts, such as those in configs/mvp_seg')
    check_new_file(path, '.safetensors')
    tensors = {name: value.detach().cpu().contiguous() for name, value in _learned(model.decode_head).items()}
    metadata = dict(format=FORMAT, **origin(classifier), prompts=as_json(classifier.prompts.describe()),
                    train_classes=as_json(_state(classifier)['train_classes']))
    if isinstance(model.decode_head, MultiPromptTextHead) and isinstance(model.backbone, CLIPImageEncoder):
        metadata['segmentor'] = as_json(_describe_segmentor(model))
    with written_whole(path) as part:
        part.write_bytes(save(tensors, metadata))  # save_file lets nobody else read it


def load_prompts(model: BaseModel, source: str | Path) -> None:
    """Give a model the prompts of a file, in place.

    Args:
        model (BaseModel): A segmentor with ``LearnedPrompts`` of the same settings over the same CLIP.
        source (str | Path): A file of :func:`save_prompts`, a folder that holds it as ``prompts.safetensors``, or the
            id of a repository (``owner/name``) of the Hugging Face hub that does.

    Raises:
        UserError: If the source can't be had or is no such file, or belongs to another CLIP or to other prompts.
    """
    tensors, metadata = _read(_locate(source))
    _put(model, tensors, metadata, source)


def from_pretrained(source: str | Path, classes: str | list, clip: dict | None = None) -> BaseModel:
    """Build MVP-SEG with the prompts of a file.

    Args:
        source (str | Path): See :func:`load_prompts`.
        classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        clip (dict, optional): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`; needed where the prompts
            were learned on weights from a local file. None takes what the file names.

    Returns:
        BaseModel: A ``CLIPEncoderDecoder`` in eval mode.

    Raises:
        UserError: As in :func:`load_prompts`, or if the CLIP can't be loaded or the file describes no such model.
    """
    tensors, metadata = _read(_locate(source))
    settings, prompts = _json(metadata, 'segmentor', source), _json(metadata, 'prompts', source)
    _check_shape(tensors, prompts, source)
    try:
        config = _segmentor_config(settings, prompts, classes,
                                   clip or dict(model=metadata['clip'], weights=metadata['weights']))
    except (KeyError, TypeError) as error:
        raise _damaged(source, error) from error
    model = MODELS.build(ConfigDict(config)).eval()
    _put(model, tensors, metadata, source)
    return model


def _check_shape(tensors: dict[str, Tensor], prompts: dict, source: str | Path) -> None:
    """Refuse settings of other contexts (k+1, M, width) than the file holds, before memory is taken for them."""
    found = tuple(tensors['contexts'].shape) if 'contexts' in tensors else None
    number, length, one = (prompts.get(key) for key in ('num_prompts', 'context_length', 'global_prompt'))
    if found is None or not isinstance(number, int) or found[:2] != (number + bool(one), length):
        raise UserError(f'{source} is damaged: its metadata name {short(number)} prompts of {short(length)} vectors, '
                        f'but its contexts have the shape {found}; fetch it again')


def _learned(head: torch.nn.Module) -> dict[str, Tensor]:
    """The head's parameters by their names in the file."""
    parameters = dict(head.named_parameters())
    names = LEARNED if isinstance(head, MultiPromptTextHead) else {}
    found = {name: parameters[path] for name, path in names.items() if path in parameters}
    return dict(found, contexts=head.classifier.prompts.contexts)


def _state(classifier: TextClassifier) -> dict:
    """What a checkpoint of the classifier says of its origin."""
    return json.loads(bytes(classifier.get_extra_state().tolist()))


def _describe_segmentor(model: BaseModel) -> dict:
    """Plain values that, with the prompts' settings, define MVP-SEG over CLIP's own image tower."""
    head, tower, normalisation = model.decode_head, model.backbone.tower, model.data_preprocessor
    tower = tower.module if isinstance(tower, Frozen) else tower
    return dict(mean=normalisation.mean.flatten().tolist(), std=normalisation.std.flatten().tolist(),
                dense=getattr(tower, 'variant', 'maskclip'), gpr_gamma=head.gpr.gamma if head.gpr else None,
                synonyms=head.classifier.synonyms, align_corners=head.align_corners)


def _segmentor_config(settings: dict, prompts: dict, classes: str | list, clip: dict) -> dict:
    gamma = settings['gpr_gamma']
    return dict(
        type='CLIPEncoderDecoder', clip=clip,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=settings['mean'], std=settings['std'],
                               bgr_to_rgb=True),
        backbone=dict(type='CLIPImageEncoder', dense=settings['dense']),
        decode_head=dict(
            type='MultiPromptTextHead', train_classes=classes, synonyms=settings['synonyms'],
            align_corners=settings['align_corners'], gpr=None if gamma is None else dict(type='GPR', gamma=gamma),
            prompts=dict(type='LearnedPrompts', num_prompts=prompts['num_prompts'],
                         context_length=prompts['context_length'], global_prompt=prompts['global_prompt'])),
        test_cfg=dict(mode='whole'))


def _locate(source: str | Path) -> Path:
    """The local file of a source, fetched where it is the id of a repository."""
    if not isinstance(source, (str, Path)):
        raise UserError(f'Prompts are read from {source!r}: expected a path or a hub id such as owner/name')
    path = Path(source)
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        path = path / FILE
    if os.path.isfile(path):
        return path
    if path.suffix == '.safetensors' or not _HUB_ID.fullmatch(str(source)):
        raise UserError(f'There are no prompts at {path}: give a file that tools/export.py --format prompts wrote, a '
                        f'folder with a {FILE}, or a hub id such as owner/name')
    try:
        return Path(huggingface_hub.hf_hub_download(str(source), FILE))
    except Exception as error:  # whatever the hub's client raises: no network, no repository, no such file in it
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise UserError(f'The prompts {source} are neither a local file nor to be had from the hub ({reason}): check '
                        f'the id and the network, or fetch its {FILE} elsewhere and give the path') from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file; safetensors hold no code."""
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f'{path} can\'t be read ({type(error).__name__}): it is truncated or no safetensors file; '
                        f'fetch it again') from error
    if metadata.get('format') != FORMAT:
        raise UserError(f"{path} is no file of learned prompts (its format is {metadata.get('format')!r}, expected "
                        f'{FORMAT!r}): give one that tools/export.py --format prompts wrote')
    return tensors, metadata


def _put(model: BaseModel, tensors: dict[str, Tensor], metadata: dict[str, str], source: str | Path) -> None:
    """Check that the values belong to this model, then copy them."""
    classifier = text_classifier(model)
    origin_of_file = {key: metadata.get(key) for key in ('clip', 'weights', 'fingerprint')}
    state = dict(_json(metadata, 'prompts', source), **origin_of_file,
                 train_classes=_json(metadata, 'train_classes', source))
    own = _learned(model.decode_head) if hasattr(classifier.prompts, 'contexts') else {}
    before = classifier.learned_on
    classifier.set_extra_state(torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8))
    wrong = [name for name in own.keys() & (tensors.keys() | {'contexts'}) if name not in tensors
             or tensors[name].shape != own[name].shape or not tensors[name].isfinite().all()]
    if wrong:
        classifier.learned_on = before
        raise UserError(f'{source} is damaged: its {", ".join(sorted(wrong))} are missing, not finite, or not of the '
                        f'shape that its settings say; fetch it again')
    with torch.no_grad():
        for name in own.keys() & tensors.keys():
            own[name].copy_(tensors[name])


def _json(metadata: dict[str, str], key: str, source: str | Path) -> dict | list:
    if key not in metadata and key == 'segmentor':
        raise UserError(f'{source} was not written by MVP-SEG over CLIP\'s own image tower, which is all that '
                        f'from_pretrained can build: build the model from its config, then call load_prompts')
    try:
        value = json.loads(metadata[key])
        if not isinstance(value, list if key == 'train_classes' else dict):
            raise TypeError(f'{key} is a {type(value).__name__}')
        return value
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(source, error) from error


def _damaged(source: str | Path, error: Exception) -> UserError:
    return UserError(f'The metadata of {source} can\'t be used ({type(error).__name__}: {error}): fetch the file '
                     f'again, or write it anew by tools/export.py --format prompts')
