"""What a user calls: segmentation by names on images of one's own."""
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

__all__ = ['OpenVocabInferencer', 'Segmentation', 'UnreadableImage']
