"""What a user calls: models carried out of MMSeg-MVP, and learned prompts carried back in."""
from .export import bake, export_baked, export_onnx, from_pretrained, load_prompts, save_embeddings, save_prompts

__all__ = ['bake', 'export_baked', 'export_onnx', 'from_pretrained', 'load_prompts', 'save_embeddings', 'save_prompts']
