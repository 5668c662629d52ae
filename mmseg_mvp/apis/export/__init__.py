"""Export of models to mmseg's own components and to ONNX; saving and loading of learned prompts."""
from .native import difference, export_native, to_native
from .onnx_file import check_onnx, export_onnx, save_embeddings
from .prompts import from_pretrained, load_prompts, save_prompts

__all__ = ['check_onnx', 'difference', 'export_native', 'export_onnx', 'from_pretrained', 'load_prompts',
           'save_embeddings', 'save_prompts', 'to_native']
