"""Public API: segmentation of images by class names, export of models, and saving and loading of prompts."""
from .export import export_native, export_onnx, from_pretrained, load_prompts, save_embeddings, save_prompts, to_native
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

__all__ = ['OpenVocabInferencer', 'Segmentation', 'UnreadableImage', 'export_native', 'export_onnx',
           'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts', 'to_native']
