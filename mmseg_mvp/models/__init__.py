"""The models room: registered in mmseg's MODELS, in folders of mmseg's names."""
from .backbones import CLIPImageEncoder
from .decode_heads import LowResLossMixin, MultiPromptTextHead
from .losses import OCLoss, PresenceLoss, RefinedSegLoss
from .modules import GPR
from .segmentors import CLIPEncoderDecoder, LowResSegTTAModel
from .text import LearnedPrompts, TemplatePrompts, TextClassifier

__all__ = ['CLIPEncoderDecoder', 'CLIPImageEncoder', 'GPR', 'LearnedPrompts', 'LowResLossMixin', 'LowResSegTTAModel',
           'MultiPromptTextHead', 'OCLoss', 'PresenceLoss', 'RefinedSegLoss', 'TemplatePrompts', 'TextClassifier']
