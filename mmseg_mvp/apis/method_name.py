"""Name of a model's method: with its number of sentences, because MaskCLIP with one sentence is another model."""
from collections.abc import Mapping

from mmengine.model import BaseModel

from mmseg_mvp.models.segmentors import CLIPEncoderDecoder
from mmseg_mvp.models.text import LearnedPrompts

_DENSE = dict(maskclip='MaskCLIP', value="MaskCLIP's value path", sclip='SCLIP', clearclip='ClearCLIP', naclip='NACLIP',
              segearth="SegEarth-OV's attention", resclip="ResCLIP's RCS", proxy='ProxyCLIP')


def method_name(model: BaseModel) -> str:
    """Return the name of the method of a segmentor with a text head, such as ``'MaskCLIP with 85 sentences per name'``.

    MaskCLIP's configs use 85 sentences, those of ``configs/training_free`` 80, and a model without a config one.
    """
    prompts = model.decode_head.classifier.prompts
    if not isinstance(model, CLIPEncoderDecoder):
        name = type(model.decode_head).__name__.removesuffix('Head')
    elif isinstance(prompts, LearnedPrompts):
        name = 'MVP-SEG'
    else:
        name = _dense_name(getattr(model.backbone, 'variant', None), getattr(model.backbone, 'dense', None))
    if isinstance(prompts, LearnedPrompts):
        return f'{name} with {prompts.num_views} learned prompt{"s" * (prompts.num_views > 1)}'
    count = len(prompts.templates)
    return f'{name} with {count if count > 1 else "one"} sentence{"s" * (count > 1)} per name'


def _dense_name(variant: str | None, dense: str | Mapping | None) -> str:
    """Return the name of dense features; a dict changes the settings of the variant that it names."""
    name = _DENSE.get(variant, f'MaskCLIP, dense features {variant!r}' if variant else 'Text embeddings')
    return f'{name} (settings changed)' if isinstance(dense, Mapping) and set(dense) - {'type', 'weights'} else name
