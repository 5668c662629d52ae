"""The models room: registered in mmseg's MODELS, in folders of mmseg's names."""
from .backbones import CLIPImageEncoder
from .decode_heads import (DeepLabV2Head, LowResLossMixin, MultiPromptTextHead, TextDeepLabV2Head,
                           TextDeepLabV3PlusHead, TextFCNHead, TextHeadMixin, TextSegformerHead, TextUPerHead)
from .losses import OCLoss, PresenceLoss, RefinedSegLoss
from .modules import GPR
from .segmentors import CLIPEncoderDecoder, KnowledgeTransfer, LowResSegTTAModel, OpenVocabEncoderDecoder
from .text import LearnedPrompts, TemplatePrompts, TextClassifier, TextLayer

__all__ = ['CLIPEncoderDecoder', 'CLIPImageEncoder', 'DeepLabV2Head', 'GPR', 'KnowledgeTransfer', 'LearnedPrompts',
           'LowResLossMixin', 'LowResSegTTAModel', 'MultiPromptTextHead', 'OCLoss', 'OpenVocabEncoderDecoder',
           'PresenceLoss', 'RefinedSegLoss', 'TemplatePrompts', 'TextClassifier', 'TextDeepLabV2Head',
           'TextDeepLabV3PlusHead', 'TextFCNHead', 'TextHeadMixin', 'TextLayer', 'TextSegformerHead', 'TextUPerHead']
