"""What a user calls: models carried out of MMSeg-MVP, and learned prompts carried back in."""
from .export_baked import bake, export_baked
from .export_onnx import export_onnx, save_embeddings
from .export_prompts import from_pretrained, load_prompts, save_prompts

__all__ = ['bake', 'export_baked', 'export_onnx', 'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts']
