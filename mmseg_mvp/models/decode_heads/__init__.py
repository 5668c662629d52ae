from .multi_prompt_text_head import MultiPromptTextHead

__all__ = ['MultiPromptTextHead']
