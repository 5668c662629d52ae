"""Are the weights of a CLIP or a proxy on this machine? Looks only, downloads nothing."""
import os
from collections.abc import Sequence

import timm
from huggingface_hub import try_to_load_from_cache
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from .building import SHIPPED

_TIMM_FILES = ('model.safetensors', 'pytorch_model.bin')


def clip_at_hand(model: str, weights: str | None) -> bool:
    """Return True if the weights of a CLIP need no download. Unknown names count as present; loading refuses them."""
    if weights is None or (SHIPPED / f'{model}.safetensors').is_file() and weights == 'toy':
        return True
    published = get_pretrained_cfg(model, weights)
    if not published:
        return True
    if hub := published.get('hf_hub'):
        repository, file = os.path.split(hub)
        files = [file, f'{os.path.splitext(file)[0]}.safetensors'] if file else [HF_WEIGHTS_NAME, HF_SAFE_WEIGHTS_NAME]
        return _cached(repository, files)
    return os.path.isfile(os.path.expanduser(f'~/.cache/clip/{os.path.basename(published.get("url", ""))}'))


def timm_at_hand(model: str) -> bool:
    """Return True if the weights of a timm model need no download. Unknown names count as present."""
    try:
        published = timm.get_pretrained_cfg(model)
    except RuntimeError:  # an unknown tag
        return True
    repository = published.hf_hub_id if published else None
    return not repository or _cached(repository, _TIMM_FILES)


def _cached(repository: str, files: Sequence[str]) -> bool:
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)
