"""Names in any script: a font that has their glyphs, or else their code points."""
import functools
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

# Comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian, Georgian, many symbols.
DEJAVU = str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'))


@functools.lru_cache(maxsize=4096)
def drawable(text: str) -> tuple[str, str]:
    """A text that is drawn without empty boxes, and the font for it.

    DejaVu Sans is taken where it has all glyphs, else the first font of the machine that has them. Where there is none,
    code points stand for the characters without a glyph: '天空' is drawn as 'U+5929 U+7A7A', and the log says so.

    Args:
        text (str): Any text; line breaks and runs of blanks become one blank.

    Returns:
        tuple[str, str]: The text to draw and the file of the font.
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
    """Font files, plain ones first, without those whose glyphs are the empty boxes themselves."""
    fonts = [font for font in fontManager.ttflist if not font.name.startswith('Last Resort')]
    fonts.sort(key=lambda font: (font.style != 'normal', font.weight != 400, font.name))
    return [font.fname for font in fonts]


def without_glyph(text: str, font: str) -> set[str]:
    """Characters of a text that a font file has no glyph for, but for those that are never seen (category Cf)."""
    try:
        glyphs = FT2Font(font)
    except (OSError, RuntimeError):  # a file that matplotlib has listed and that is gone or broken by now
        return set(text)
    return {one for one in text if unicodedata.category(one) != 'Cf' and not glyphs.get_char_index(ord(one))}


@functools.lru_cache(maxsize=64)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """A font for Pillow, ``size`` px high."""
    return ImageFont.truetype(path, size)

