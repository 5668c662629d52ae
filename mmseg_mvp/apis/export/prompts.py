"""Saving of learned prompts to one small file, and loading from a local file or the Hugging Face hub."""
import json
import os
import re
from pathlib import Path

import huggingface_hub
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from safetensors.torch import save
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.decode_heads import MultiPromptTextHead
from mmseg_mvp.models.text import LearnedPrompts, TextClassifier
from mmseg_mvp.unpickling import short
from mmseg_mvp.utils.files import atomic_write, check_new_file

from .common import as_json, origin, read_tensors, text_classifier

FORMAT = 'mmseg_mvp.prompts.1'
# File name in a folder or in a hub repository.
FILE = 'prompts.safetensors'
# Tensor name in the file -> parameter name in MultiPromptTextHead. Files of other heads hold only the contexts.
LEARNED = dict(contexts='classifier.prompts.contexts', log_tau_1='log_scale',
               log_tau_2='gpr.log_temperature', log_sharpness='classifier.fusion.log_sharpness')
_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')


def save_prompts(model: BaseModel, path: str | Path) -> None:
    """Write learned prompts: the context vectors (k+1, M, width) and, with an MVP-SEG head, the temperatures.

    The metadata holds the CLIP and its fingerprint, the settings of the prompts, and the training classes. For MVP-SEG
    with CLIP's own image tower, it also holds the model settings that :func:`from_pretrained` needs.

    Args:
        model (BaseModel): Segmentor with ``LearnedPrompts``.
        path (str | Path): New file, ``.safetensors``.

    Raises:
        UserError: If the model has no learned prompts, or the file exists.
    """
    classifier = text_classifier(model)
    if not isinstance(classifier.prompts, LearnedPrompts):
        raise UserError(f'The prompts are {type(classifier.prompts).__name__}, which are not learned: give the '
                        f'config of a model with LearnedPrompts, such as those in configs/mvp_seg')
    check_new_file(path, '.safetensors')
    state = _state(classifier)
    tensors = {name: value.detach().cpu().contiguous() for name, value in _learned(model.decode_head).items()}
    metadata = dict(format=FORMAT, **origin(classifier), prompts=as_json(classifier.prompts.describe()),
                    train_classes=as_json(state['train_classes']))
    if 'fusion' in state:
        metadata['fusion'] = state['fusion']
    if isinstance(model.decode_head, MultiPromptTextHead) and isinstance(model.backbone, CLIPImageEncoder):
        metadata['segmentor'] = as_json(_describe_segmentor(model))
    with atomic_write(path) as part:
        part.write_bytes(save(tensors, metadata))  # save_file makes files that other users can't read


def load_prompts(model: BaseModel, source: str | Path) -> None:
    """Load the prompts of a file into a model, in place.

    Args:
        model (BaseModel): Segmentor with ``LearnedPrompts`` of the same settings and with the same CLIP.
        source (str | Path): File of :func:`save_prompts`, or a folder or Hugging Face repository (``owner/name``) with
            a file ``prompts.safetensors``.

    Raises:
        UserError: If the source can't be fetched or read, or its CLIP or prompt settings differ from the model's.
    """
    tensors, metadata = _read(_locate(source))
    _put(model, tensors, metadata, source)


def from_pretrained(source: str | Path, classes: str | list, clip: dict | None = None) -> BaseModel:
    """Build MVP-SEG with the prompts of a file.

    Args:
        source (str | Path): As in :func:`load_prompts`.
        classes (str | list): Vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        clip (dict, optional): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`. Required if the prompts
            were learned with CLIP weights from a local file. None selects the CLIP that the file names.

    Returns:
        BaseModel: ``CLIPEncoderDecoder`` in eval mode.

    Raises:
        UserError: As in :func:`load_prompts`, or if the CLIP can't be loaded or the file has no model settings.
    """
    tensors, metadata = _read(_locate(source))
    settings, prompts = _json(metadata, 'segmentor', source), _json(metadata, 'prompts', source)
    _check_shape(tensors, prompts, source)
    try:
        named = clip or dict(model=metadata['clip'], weights=metadata['weights'])
        normalisation = _json(metadata, 'normalisation', source) if 'normalisation' in metadata else {}
        config = _segmentor_config(settings, prompts, classes, {**normalisation, **named})
    except (KeyError, TypeError) as error:
        raise _damaged(source, error) from error
    model = MODELS.build(ConfigDict(config)).eval()
    _put(model, tensors, metadata, source)
    return model


def _check_shape(tensors: dict[str, Tensor], prompts: dict, source: str | Path) -> None:
    """Check that the settings match the stored contexts (k+1, M, width), before memory is allocated for them."""
    found = tuple(tensors['contexts'].shape) if 'contexts' in tensors else None
    number, length, one = (prompts.get(key) for key in ('num_prompts', 'context_length', 'global_prompt'))
    if found is None or not isinstance(number, int) or found[:2] != (number + bool(one), length):
        raise UserError(f'{source} is damaged: its metadata name {short(number)} prompts of {short(length)} vectors, '
                        f'but its contexts have the shape {found}; fetch it again')


def _learned(head: torch.nn.Module) -> dict[str, Tensor]:
    """Return the parameters of the head that are saved, by name in the file."""
    parameters = dict(head.named_parameters())
    names = LEARNED if isinstance(head, MultiPromptTextHead) else {}
    found = {name: parameters[path] for name, path in names.items() if path in parameters}
    return dict(found, contexts=head.classifier.prompts.contexts)


def _state(classifier: TextClassifier) -> dict:
    """Return the classifier's extra state, as checkpoints store it."""
    return json.loads(bytes(classifier.get_extra_state().tolist()))


def _describe_segmentor(model: BaseModel) -> dict:
    """Return the settings that, with those of the prompts, define MVP-SEG with CLIP's own image tower."""
    head, normalisation = model.decode_head, model.data_preprocessor
    return dict(mean=normalisation.mean.flatten().tolist(), std=normalisation.std.flatten().tolist(),
                dense=model.backbone.dense,
                gpr_gamma=head.gpr.gamma if head.gpr else None, synonyms=head.classifier.synonyms,
                align_corners=head.align_corners, fusion=head.classifier.fusion.config())


def _segmentor_config(settings: dict, prompts: dict, classes: str | list, clip: dict) -> dict:
    gamma = settings['gpr_gamma']
    return dict(
        type='CLIPEncoderDecoder', clip=clip,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=settings['mean'], std=settings['std'],
                               bgr_to_rgb=True),
        backbone=dict(type='CLIPImageEncoder', dense=settings['dense']),
        decode_head=dict(
            type='MultiPromptTextHead', train_classes=classes, synonyms=settings['synonyms'],
            fusion=settings.get('fusion', 'sum'),  # files of early versions have none
            align_corners=settings['align_corners'], gpr=None if gamma is None else dict(type='GPR', gamma=gamma),
            prompts=dict(type='LearnedPrompts', num_prompts=prompts['num_prompts'],
                         context_length=prompts['context_length'], global_prompt=prompts['global_prompt'])),
        test_cfg=dict(mode='whole'))


def _locate(source: str | Path) -> Path:
    """Return the local file of a source; download it if the source is a repository id."""
    if not isinstance(source, (str, Path)):
        raise UserError(f'Prompts are read from {source!r}: expected a path or a hub id such as owner/name')
    path = Path(source)
    if os.path.isdir(path):  # Path.is_dir raises an error if the name is too long
        path = path / FILE
    if os.path.isfile(path):
        return path
    if path.suffix == '.safetensors' or not _HUB_ID.fullmatch(str(source)):
        raise UserError(f'There are no prompts at {path}: give a file that tools/export.py --format prompts wrote, a '
                        f'folder with a {FILE}, or a hub id such as owner/name')
    try:
        return Path(huggingface_hub.hf_hub_download(str(source), FILE))
    except Exception as error:  # the client's errors vary: network, repository or file missing
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise UserError(f'The prompts {source} are not a local file, and the hub does not return them ({reason}): '
                        f'check the id and the network, or fetch its {FILE} elsewhere and give the path') from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a file."""
    return read_tensors(path, FORMAT, 'learned prompts', 'it is truncated or not a safetensors file; fetch it again',
                        'give one that tools/export.py --format prompts wrote')


def _put(model: BaseModel, tensors: dict[str, Tensor], metadata: dict[str, str], source: str | Path) -> None:
    """Check that the tensors fit the model, then copy them."""
    classifier = text_classifier(model)
    origin_of_file = {key: metadata[key] for key in ('clip', 'weights', 'fingerprint', 'weights_hash', 'fusion')
                      if key in metadata}
    state = dict(_json(metadata, 'prompts', source), **origin_of_file,
                 train_classes=_json(metadata, 'train_classes', source))
    own = _learned(model.decode_head) if isinstance(classifier.prompts, LearnedPrompts) else {}
    before = classifier.learned_on
    classifier.set_extra_state(torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8))
    wrong = [name for name in own.keys() & (tensors.keys() | {'contexts'}) if name not in tensors
             or tensors[name].shape != own[name].shape or not tensors[name].isfinite().all()]
    if wrong:
        classifier.learned_on = before
        raise UserError(f'{source} is damaged: its {", ".join(sorted(wrong))} are missing, not finite, or not of the '
                        f'shape of its settings; fetch it again')
    with torch.no_grad():
        for name in own.keys() & tensors.keys():
            own[name].copy_(tensors[name])


def _json(metadata: dict[str, str], key: str, source: str | Path) -> dict | list:
    if key not in metadata and key == 'segmentor':
        raise UserError(f'{source} was not written by MVP-SEG with CLIP\'s own image tower, but from_pretrained '
                        f'builds only this model: build the model from its config, then call load_prompts')
    try:
        value = json.loads(metadata[key])
        if not isinstance(value, list if key == 'train_classes' else dict):
            raise TypeError(f'{key} is a {type(value).__name__}')
        return value
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(source, error) from error


def _damaged(source: str | Path, error: Exception) -> UserError:
    return UserError(f'The metadata of {source} is not valid ({type(error).__name__}: {error}): fetch the file '
                     f'again, or write it again with tools/export.py --format prompts')
