"""Toy world: generated images with captions, as a data set. It is not a benchmark."""
from .dataset import DrawToyScene, ToySceneDataset

__all__ = ['DrawToyScene', 'ToySceneDataset']
