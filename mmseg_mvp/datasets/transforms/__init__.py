"""Loading transforms that tell a user which file is broken and how."""
from .load_annotations import LoadCheckedAnnotations
from .load_image import LoadCheckedImage

__all__ = ['LoadCheckedAnnotations', 'LoadCheckedImage']
