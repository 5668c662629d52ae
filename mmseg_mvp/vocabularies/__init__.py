"""Label sets: class names, their wordings for CLIP, and their unseen classes."""
from .parsing import class_entries, class_names, label_sets, load_vocabulary
from .splits import UNSEEN, split_names

__all__ = ['UNSEEN', 'class_entries', 'class_names', 'label_sets', 'load_vocabulary', 'split_names']
