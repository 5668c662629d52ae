"""The shipped toy CLIPs: which CLIP is one, and the words that it knows."""
from functools import cache
from typing import TYPE_CHECKING

from .building import SHIPPED, TOYS

if TYPE_CHECKING:
    from .loading import LoadedCLIP


def is_toy(clip: 'LoadedCLIP') -> bool:
    """Return True for a shipped toy CLIP, which knows drawings of the toy world and the words of its captions."""
    return clip.name in TOYS and clip.weights == 'toy'


@cache
def toy_words() -> tuple[str, ...]:
    """Return the words that the toy CLIPs know: names, parts, colours, sizes, places, and the rest by the alphabet."""
    return tuple((SHIPPED / 'words.txt').read_text('utf-8').split())
