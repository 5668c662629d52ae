"""Export of models to mmseg's own components and to ONNX; saving and loading of learned prompts."""
from .baked import bake, difference, export_baked
from .onnx_file import check_onnx, export_onnx, save_embeddings
from .prompts import from_pretrained, load_prompts, save_prompts

__all__ = ['bake', 'check_onnx', 'difference', 'export_baked', 'export_onnx', 'from_pretrained', 'load_prompts',
           'save_embeddings', 'save_prompts']
