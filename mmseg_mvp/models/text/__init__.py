from .nearest_words import nearest_words
from .prompts import LearnedPrompts, TemplatePrompts
from .text_classifier import TextClassifier, class_maps
from .text_head import TextHead, find_text_head
from .text_layer import TextLayer
from .view_fusion import ViewFusion

__all__ = ['LearnedPrompts', 'TemplatePrompts', 'TextClassifier', 'TextHead', 'TextLayer', 'ViewFusion',
           'class_maps', 'find_text_head', 'nearest_words']
