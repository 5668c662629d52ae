"""Record of the CLIP, the training classes and the prompt settings in a checkpoint: JSON in a byte tensor."""
import json
import logging

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmseg_mvp.clip import LoadedCLIP
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import short

# Required entries; prompts add further entries.
_ENTRIES = dict(clip=str, weights=str, fingerprint=str, train_classes=list)


def write_record(clip: LoadedCLIP, classes: list[str], prompts: dict) -> Tensor:
    """Encode a record as a byte tensor (N,), which is safe to load."""
    record = dict(clip=clip.name, weights=clip.weights, fingerprint=clip.fingerprint, weights_hash=clip.weights_hash,
                  train_classes=classes, **prompts)
    return torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)


def read_record(state: Tensor) -> dict:
    """Decode a byte tensor (N,). Raise UserError if a required entry is missing."""
    try:
        saved = json.loads(bytes(state.tolist()))
        if isinstance(saved, dict) and all(isinstance(saved[key], kind) for key, kind in _ENTRIES.items()):
            return saved
        raise ValueError(f'not a dict of {", ".join(_ENTRIES)}')
    except Exception as error:  # foreign content raises various exceptions
        raise UserError(f'The checkpoint has no valid record of its CLIP and classes ({type(error).__name__}: '
                        f'{short(str(error))}): its _extra_state is damaged: copy it or train again.') from error


def warn_of_settings(saved: dict, own: dict) -> None:
    """Log a warning for each of the settings ``fusion`` and ``dense`` that the prompts of a record were learned with.

    Early records have the fusion ``'sum'`` and say nothing of ``dense``, the dense variant of the image features. It is
    None in a model without variants.
    """
    for key, title, place, early in (('fusion', 'fusion', 'decode_head.fusion', 'sum'),
                                     ('dense', 'dense variant', 'backbone.dense', own['dense'])):
        learned = saved.get(key, early)
        if own[key] not in (None, learned):
            print_log(f"The checkpoint's prompts were learned with the {title} {short(str(learned))!r}, but the config "
                      f'has {own[key]!r}: set {place} to that of the checkpoint if this is not meant.', 'current',
                      logging.WARNING)


def check_same_clip(saved: dict, own: LoadedCLIP) -> None:
    """Check that a record names the CLIP of the model. An early record without ``weights_hash`` logs a warning.

    The fingerprint of an early record is the hash of the weights, so it says nothing of the rest.

    Raises:
        UserError: If the CLIP is another one.
    """
    early = 'weights_hash' not in saved
    if saved['fingerprint' if early else 'weights_hash'] != own.weights_hash:
        difference = 'the weights differ'
    elif not early and saved['fingerprint'] != own.fingerprint:
        difference = ('the weights are equal, but the activation, the attention heads, another setting of the model or '
                      'the normalisation of images differs')
    else:
        if early:
            print_log('The checkpoint is of an early version, which recorded only the weights of its CLIP: activation, '
                      f'attention heads and normalisation of images can\'t be checked, so {own.describe()} must have '
                      f'those of the training.', 'current', logging.WARNING)
        return
    clip, weights, fingerprint = (short(saved[key]) for key in ('clip', 'weights', 'fingerprint'))
    raise UserError(f"The checkpoint was learned on CLIP '{clip}' with weights '{weights}' (fingerprint "
                    f'{fingerprint}), but the config builds {own.describe()}: {difference}; set clip to the one that '
                    f'the checkpoint names.')
