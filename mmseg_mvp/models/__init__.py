"""Models in the folder layout of MMSegmentation, registered in its MODELS registry."""
from .backbones import CLIPImageEncoder
from .decode_heads import (
                           DeepLabV2Head,
                           GPRDeepLabV3PlusHead,
                           GPRFCNHead,
                           GPRHeadMixin,
                           GPRLightHamHead,
                           GPRSegformerHead,
                           GPRUPerHead,
                           LowResLossMixin,
                           LSegHead,
                           MultiPromptTextHead,
                           TextDeepLabV2Head,
                           TextDeepLabV3PlusHead,
                           TextFCNHead,
                           TextHeadMixin,
                           TextLightHamHead,
                           TextSegformerHead,
                           TextUPerHead,
)
from .losses import OCLoss, PresenceLoss, RefinedSegLoss
from .modules import GPR, SpatialRegularization
from .segmentors import CLIPEncoderDecoder, KnowledgeTransfer, LowResSegTTAModel, OpenVocabEncoderDecoder
from .text import LearnedPrompts, TemplatePrompts, TextClassifier, TextHead, TextLayer, find_text_head

__all__ = ['CLIPEncoderDecoder', 'CLIPImageEncoder', 'DeepLabV2Head', 'GPR', 'GPRDeepLabV3PlusHead', 'GPRFCNHead',
           'GPRHeadMixin', 'GPRLightHamHead', 'GPRSegformerHead', 'GPRUPerHead', 'KnowledgeTransfer', 'LSegHead',
           'LearnedPrompts', 'LowResLossMixin', 'LowResSegTTAModel', 'MultiPromptTextHead', 'OCLoss',
           'OpenVocabEncoderDecoder', 'PresenceLoss', 'RefinedSegLoss', 'SpatialRegularization', 'TemplatePrompts',
           'TextClassifier', 'TextDeepLabV2Head', 'TextDeepLabV3PlusHead', 'TextFCNHead', 'TextHead', 'TextHeadMixin',
           'TextLayer', 'TextLightHamHead', 'TextSegformerHead', 'TextUPerHead', 'find_text_head']
