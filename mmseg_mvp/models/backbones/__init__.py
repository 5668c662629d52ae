from .clip_image_encoder import CLIPImageEncoder

__all__ = ['CLIPImageEncoder']
