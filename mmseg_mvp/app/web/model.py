"""Model of the web page: its description, and features that are kept for the next run."""
from collections import deque
from pathlib import Path

import torch
from torch import Tensor

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.clip import is_toy, toy_words
from mmseg_mvp.errors import UserError

KEPT_INPUTS = 8
PLACEHOLDER, TOY_PLACEHOLDER = 'red house, tree, boat, other', 'red house, tree, boat, picture'


def describe_model(seg: OpenVocabInferencer) -> str:
    """Return a sentence with the method, the CLIP and the device of a model."""
    classifier, device = seg.model.decode_head.classifier, next(seg.model.parameters()).device
    clip = classifier.clip
    shown = torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type.upper()
    return f'Model: {seg.method}, CLIP {Path(clip.name).name} ({Path(clip.weights).name}), on {shown}.'


def placeholder_of(seg: OpenVocabInferencer) -> str:
    """Return class names that the CLIP of a model knows, as an example in the field."""
    return TOY_PLACEHOLDER if is_toy(seg.model.decode_head.classifier.clip) else PLACEHOLDER


def describe_toy(seg: OpenVocabInferencer) -> tuple[str, str] | None:
    """Return a warning about a toy CLIP, and its words; None for another CLIP."""
    clip = seg.model.decode_head.classifier.clip
    if not is_toy(clip):
        return None
    return (f'{clip.name} is a toy: it knows its toy world only, not photos. Show its {len(toy_words())} '
            f'words', ', '.join(toy_words()))


def knows(seg: OpenVocabInferencer, name: str) -> bool:
    """True if the CLIP of a model has word vectors for a class name."""
    try:
        return bool(seg.model.decode_head.classifier.prompts.tokenize([name]))
    except UserError:
        return False


def remember_features(model: torch.nn.Module) -> None:
    """Keep the features of the last inputs, so that other names, views or borders need no run of the image tower."""
    extract, kept = model.extract_feat, deque(maxlen=KEPT_INPUTS)

    def extract_feat(inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Extract the features of images (B, 3, H, W), or return the kept ones of the same images."""
        for seen, features in kept:
            if torch.equal(seen, inputs):
                return features
        features = extract(inputs)
        kept.append((inputs, features))
        return features

    model.extract_feat = extract_feat
