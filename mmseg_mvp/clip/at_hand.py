"""Are the weights of a CLIP or a proxy on this machine? Looks only, downloads nothing."""
import timm
from huggingface_hub import constants
from open_clip.pretrained import get_pretrained_cfg
from timm.models import PretrainedCfg

from .building import SHIPPED
from .download import cached, file_at_hand

TIMM_FILES = ['model.safetensors', 'pytorch_model.bin']


def clip_at_hand(model: str, weights: str | None) -> bool:
    """Return True if the weights of a CLIP need no download. Unknown names count as present; loading refuses them."""
    if weights is None or (SHIPPED / f'{model}.safetensors').is_file() and weights == 'toy':
        return True
    return not get_pretrained_cfg(model, weights) or file_at_hand(model, weights) is not None


def timm_at_hand(model: str) -> bool:
    """Return True if the weights of a timm model need no download. Unknown names count as present."""
    published = _timm_config(model)
    repository = published.hf_hub_id if published else None
    return not repository or cached(repository, TIMM_FILES) is not None


def timm_addresses(model: str) -> list[str]:
    """Return the web addresses of the weights of a timm model: a plain file, and the page of a repository."""
    published = _timm_config(model)
    if published is None:
        return []
    page = published.hf_hub_id and f'{constants.ENDPOINT}/{published.hf_hub_id}'
    return [address for address in (published.url, page) if address]


def _timm_config(model: str) -> PretrainedCfg | None:
    try:
        return timm.get_pretrained_cfg(model)
    except RuntimeError:  # an unknown tag
        return None
