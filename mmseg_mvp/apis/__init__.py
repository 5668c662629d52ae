"""Public API: segmentation of images by class names, export of models, and saving and loading of prompts."""
from .export import bake, export_baked, export_onnx, from_pretrained, load_prompts, save_embeddings, save_prompts
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

__all__ = ['OpenVocabInferencer', 'Segmentation', 'UnreadableImage', 'bake', 'export_baked', 'export_onnx',
           'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts']
