from .prompts import LearnedPrompts, TemplatePrompts
from .text_classifier import TextClassifier

__all__ = ['LearnedPrompts', 'TemplatePrompts', 'TextClassifier']
