"""The CLIP room: the only one that knows open_clip's insides.

It gives the other rooms a frozen CLIP by name and weights (:func:`load_clip`), its image tower as a dense feature
extractor (:func:`dense_tower`) and its text tower as a function of prompts (:class:`TextTower`).
"""
from .config import check_clip
from .frozen import Frozen
from .image_tower import DENSE_VARIANTS, dense_tower, fold_batch_norm
from .loading import LoadedCLIP, load_clip
from .mmseg_vit import fill_vit, vit_config
from .templates import resolve_templates
from .text_tower import TextTower, encode_prompts, encode_sentences

__all__ = ['DENSE_VARIANTS', 'Frozen', 'LoadedCLIP', 'TextTower', 'check_clip', 'dense_tower', 'encode_prompts',
           'encode_sentences', 'fill_vit', 'fold_batch_norm', 'load_clip', 'resolve_templates', 'vit_config']
