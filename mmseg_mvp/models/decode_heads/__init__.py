from .deeplabv2_head import DeepLabV2Head
from .gpr_heads import GPRDeepLabV3PlusHead, GPRFCNHead, GPRHeadMixin, GPRLightHamHead, GPRSegformerHead, GPRUPerHead
from .low_res_loss import LowResLossMixin
from .lseg_head import LSegHead
from .multi_prompt_text_head import MultiPromptTextHead
from .text_heads import (
                         TextDeepLabV2Head,
                         TextDeepLabV3PlusHead,
                         TextFCNHead,
                         TextHeadMixin,
                         TextLightHamHead,
                         TextSegformerHead,
                         TextUPerHead,
)

__all__ = ['DeepLabV2Head', 'GPRDeepLabV3PlusHead', 'GPRFCNHead', 'GPRHeadMixin', 'GPRLightHamHead',
           'GPRSegformerHead', 'GPRUPerHead', 'LSegHead', 'LowResLossMixin', 'MultiPromptTextHead',
           'TextDeepLabV2Head', 'TextDeepLabV3PlusHead', 'TextFCNHead', 'TextHeadMixin', 'TextLightHamHead',
           'TextSegformerHead', 'TextUPerHead']
