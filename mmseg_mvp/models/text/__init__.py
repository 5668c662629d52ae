from .nearest_words import nearest_words
from .prompts import LearnedPrompts, TemplatePrompts
from .text_classifier import TextClassifier
from .text_layer import TextLayer

__all__ = ['LearnedPrompts', 'TemplatePrompts', 'TextClassifier', 'TextLayer', 'nearest_words']
