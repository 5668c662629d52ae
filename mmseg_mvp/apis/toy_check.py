"""A toy CLIP says that it is one: a note on each picture that is none of its drawings."""
import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmseg_mvp.clip import LoadedCLIP, is_toy
from mmseg_mvp.datasets.toy.recognition import is_drawing

NOTE = 'Toy CLIP: it knows drawings of its toy world only. This result means nothing.'


class ToyCheck:
    """Check of the pictures that a model gets. A CLIP that is no toy has no check.

    Args:
        clip (LoadedCLIP): CLIP of the model.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        self.toy, self._warned = clip.name if is_toy(clip) else None, False

    def note(self, image: np.ndarray, path: Path | None = None) -> str | None:
        """Return the note for a picture, RGB, (H, W, 3) uint8; None if there is none. The first note is logged."""
        if self.toy is None or is_drawing(image):
            return None
        if not self._warned:
            self._warned = True
            print_log(f"{path or 'The image'} is no drawing of the toy world (or a changed one, as by JPEG), and "
                      f"'{self.toy}' is a toy CLIP that knows nothing else, so the result means nothing: for photos, "
                      f"omit clip (--clip), which selects OpenAI's ViT-B/16, or name another CLIP.", 'current',
                      logging.WARNING)
        return NOTE
