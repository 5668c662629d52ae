"""Public API: segmentation by names or examples, export, saving and loading of prompts, feature banks for training."""
from .example_classes import ExampleClasses
from .examples import Example
from .export import export_native, export_onnx, from_pretrained, load_prompts, save_embeddings, save_prompts, to_native
from .feature_bank import build_bank
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

__all__ = ['Example', 'ExampleClasses', 'OpenVocabInferencer', 'Segmentation', 'UnreadableImage', 'build_bank',
           'export_native', 'export_onnx', 'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts',
           'to_native']
