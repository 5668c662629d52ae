"""Label sets: the names of classes, how to say them to CLIP, and which of them are unseen."""
from .parsing import class_entries, class_names, label_sets, load_vocabulary
from .splits import UNSEEN, split_names

__all__ = ['UNSEEN', 'class_entries', 'class_names', 'label_sets', 'load_vocabulary', 'split_names']
