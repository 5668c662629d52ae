from .low_res_loss import LowResLossMixin
from .multi_prompt_text_head import MultiPromptTextHead

__all__ = ['LowResLossMixin', 'MultiPromptTextHead']
