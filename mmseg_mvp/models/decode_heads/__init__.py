from .deeplabv2_head import DeepLabV2Head
from .gpr_heads import GPRDeepLabV3PlusHead, GPRHeadMixin
from .low_res_loss import LowResLossMixin
from .lseg_head import LSegHead
from .multi_prompt_text_head import MultiPromptTextHead
from .text_heads import (
                         TextDeepLabV2Head,
                         TextDeepLabV3PlusHead,
                         TextFCNHead,
                         TextHeadMixin,
                         TextSegformerHead,
                         TextUPerHead,
)

__all__ = ['DeepLabV2Head', 'GPRDeepLabV3PlusHead', 'GPRHeadMixin', 'LSegHead', 'LowResLossMixin',
           'MultiPromptTextHead', 'TextDeepLabV2Head', 'TextDeepLabV3PlusHead', 'TextFCNHead', 'TextHeadMixin',
           'TextSegformerHead', 'TextUPerHead']
