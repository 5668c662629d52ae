"""The toy world: pictures drawn by code, captions of them and a data set of them. It is a toy, not a benchmark."""
from .dataset import DrawToyScene, ToySceneDataset

__all__ = ['DrawToyScene', 'ToySceneDataset']
