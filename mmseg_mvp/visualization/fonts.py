"""Text in any script: a font with the required glyphs, or code points."""
import functools
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

# Part of matplotlib; has Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian, Georgian and many symbols.
DEJAVU = str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'))


@functools.lru_cache(maxsize=4096)
def drawable(text: str) -> tuple[str, str]:
    """Return a text and the path of a font file for it, or replace characters without glyph.

    DejaVu Sans has priority, then the first installed font with all glyphs. Without such a font, code points replace
    the missing characters: '天空' becomes 'U+5929 U+7A7A', with a note in the log. Line breaks and repeated spaces
    become one space.
    """
    text = ' '.join(unicodedata.normalize('NFC', text).split())
    lacking = without_glyph(text, DEJAVU)
    if not lacking:
        return text, DEJAVU
    for font in machine_fonts():
        if not without_glyph(text, font):
            return text, font
    codes = ' '.join(''.join(f' U+{ord(one):04X} ' if one in lacking else one for one in text).split())
    print_log(f"No font of this machine has all the glyphs of '{text}', which is drawn as '{codes}': install one, such "
              f'as Noto Sans CJK.', 'current')
    return codes, DEJAVU


def machine_fonts() -> list[str]:
    """Return installed font files, regular styles first, without the placeholder font "Last Resort"."""
    fonts = [font for font in fontManager.ttflist if not font.name.startswith('Last Resort')]
    fonts.sort(key=lambda font: (font.style != 'normal', font.weight != 400, font.name))
    return [font.fname for font in fonts]


def without_glyph(text: str, font: str) -> set[str]:
    """Return the characters without glyph in a font file, except invisible ones (category Cf)."""
    try:
        glyphs = FT2Font(font)
    except (OSError, RuntimeError):  # matplotlib's cached list can be outdated
        return set(text)
    return {one for one in text if unicodedata.category(one) != 'Cf' and not glyphs.get_char_index(ord(one))}


@functools.lru_cache(maxsize=64)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Load a font for Pillow in a size of ``size`` px."""
    return ImageFont.truetype(path, size)

