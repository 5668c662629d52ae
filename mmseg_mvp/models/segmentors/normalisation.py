"""Normalisation of images for a CLIP backbone: each CLIP was trained with its own mean and standard deviation."""
import logging

import numpy as np
from mmengine.logging import print_log
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_mvp.clip import check_clip, load_clip
from mmseg_mvp.utils.config import component_class

from ..backbones import CLIPImageEncoder

# Largest difference of pixel values, 0 to 255, that is due to rounding.
_ROUNDING = 0.05


def with_normalisation(data_preprocessor: dict | None, known: dict | None) -> dict | None:
    """Fill ``mean`` and ``std`` of a data preprocessor config, where they are not set, by the known values."""
    if not isinstance(data_preprocessor, dict) or known is None:
        return data_preprocessor
    missing = {key: value for key, value in known.items() if data_preprocessor.get(key) is None}
    return dict(data_preprocessor, **missing) if missing else data_preprocessor


def normalisation_of(backbone: dict) -> dict[str, list[float]] | None:
    """Return ``mean`` and ``std`` of the CLIP in the config of a ``CLIPImageEncoder``; None for another backbone."""
    found = component_class(backbone['type'], MODELS)
    if isinstance(found, type) and issubclass(found, CLIPImageEncoder) and 'clip' in backbone:
        return load_clip(**check_clip(backbone['clip'])).normalisation()
    return None


def warn_of_other_normalisation(model: EncoderDecoder) -> None:
    """Log a warning if a segmentor with a CLIP backbone normalises images by other values than the CLIP's."""
    if not isinstance(getattr(model, 'backbone', None), CLIPImageEncoder):
        return
    known = model.backbone.normalisation
    found = {key: getattr(model.data_preprocessor, key, None) for key in known}
    found = {key: None if value is None else value.flatten().tolist() for key, value in found.items()}
    if any(found[key] is None or not np.allclose(found[key], known[key], rtol=0, atol=_ROUNDING) for key in known):
        shown = {key: value and [round(one, 4) for one in value] for key, value in found.items()}
        print_log(f'model.data_preprocessor normalises images by {shown}, but the CLIP of the backbone was trained '
                  f'with {known}: set these values (a segmentor of mmseg_mvp takes them if mean and std are None), or '
                  f'correct those of the CLIP by clip.mean and clip.std.', 'current', logging.WARNING)
