"""Frozen CLIP models; the only package that depends on the internals of open_clip.

:func:`load_clip` loads a model by name and weights, :meth:`LoadedCLIP.dense_tower` extracts dense image features, and
:class:`TextTower` encodes prompts.
"""
from .building import TOYS
from .config import check_clip
from .dense_variants import POOL_VARIANTS, VIT_VARIANTS
from .download import WeightsOutOfReach
from .frozen import Frozen, unwrap
from .identity import weights_hash
from .image_tower import embed_images, fold_batch_norm
from .loading import LoadedCLIP, load_clip
from .mmseg_vit import fill_vit, vit_config
from .proxy_tower import ProxyTower
from .templates import resolve_templates
from .text_tower import LongName, TextTower, encode_prompts, encode_sentences
from .timm_positions import traceable_positions
from .toys import is_toy, toy_words

__all__ = ['Frozen', 'LoadedCLIP', 'LongName', 'POOL_VARIANTS', 'ProxyTower', 'TOYS', 'TextTower', 'VIT_VARIANTS',
           'WeightsOutOfReach', 'check_clip', 'embed_images', 'encode_prompts', 'encode_sentences', 'fill_vit',
           'fold_batch_norm', 'is_toy', 'load_clip', 'resolve_templates', 'toy_words', 'traceable_positions',
           'unwrap', 'vit_config', 'weights_hash']
