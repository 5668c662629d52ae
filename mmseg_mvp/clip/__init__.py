"""Frozen CLIP models; the only package that depends on the internals of open_clip.

:func:`load_clip` loads a model by name and weights, :meth:`LoadedCLIP.dense_tower` extracts dense image features, and
:class:`TextTower` encodes prompts.
"""
from .building import TOYS
from .config import check_clip
from .dense_variants import POOL_VARIANTS, VIT_VARIANTS
from .frozen import Frozen, unwrap
from .identity import weights_hash
from .image_tower import embed_images, fold_batch_norm
from .loading import LoadedCLIP, load_clip
from .mmseg_vit import fill_vit, vit_config
from .proxy_tower import ProxyTower
from .templates import resolve_templates
from .text_tower import TextTower, encode_prompts, encode_sentences
from .timm_positions import traceable_positions

__all__ = ['Frozen', 'LoadedCLIP', 'POOL_VARIANTS', 'ProxyTower', 'TOYS', 'TextTower', 'VIT_VARIANTS', 'check_clip',
           'embed_images', 'encode_prompts', 'encode_sentences', 'fill_vit', 'fold_batch_norm', 'load_clip',
           'resolve_templates', 'traceable_positions', 'unwrap', 'vit_config', 'weights_hash']
