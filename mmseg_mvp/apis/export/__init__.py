"""Ways out: into mmseg's own components, into ONNX, and prompts into a file, which is a way in as well."""
from .baked import bake, difference, export_baked
from .onnx_file import check_onnx, export_onnx, save_embeddings
from .prompts import from_pretrained, load_prompts, save_prompts

__all__ = ['bake', 'check_onnx', 'difference', 'export_baked', 'export_onnx', 'from_pretrained', 'load_prompts',
           'save_embeddings', 'save_prompts']
