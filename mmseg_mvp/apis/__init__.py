"""What a user calls: segmentation by names on images of one's own, and models and prompts carried out and in."""
from .export import bake, export_baked, export_onnx, from_pretrained, load_prompts, save_embeddings, save_prompts
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

__all__ = ['OpenVocabInferencer', 'Segmentation', 'UnreadableImage', 'bake', 'export_baked', 'export_onnx',
           'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts']
