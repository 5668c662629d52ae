"""Names in scripts that DejaVu Sans has glyphs for, that another font has, that none has."""
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from mmseg_mvp.visualization import draw_overlay, fonts


@pytest.fixture(autouse=True)
def fresh():
    fonts.drawable.cache_clear()
    yield
    fonts.drawable.cache_clear()


@pytest.fixture
def sky_font(tmp_path):
    """A font that has one glyph, a filled square for '天', and a blank."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(['.notdef', 'sky', 'space'])
    builder.setupCharacterMap({0x5929: 'sky', 0x20: 'space'})
    builder.setupGlyf({'.notdef': TTGlyphPen(None).glyph(), 'sky': pen.glyph(), 'space': TTGlyphPen(None).glyph()})
    builder.setupHorizontalMetrics({name: (1000, 0) for name in ('.notdef', 'sky', 'space')})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable(dict(familyName='Sky', styleName='Regular'))
    builder.setupOS2(sTypoAscender=1000)
    builder.setupPost()
    path = tmp_path / 'sky.ttf'
    builder.save(path)
    return str(path)


@pytest.mark.parametrize('name', ['red house', 'Straße', 'Дерево', 'δέντρο', 'شجرة', 'cafe\u0301', 'zero\u200dwidth'])
def test_scripts_of_the_font_that_is_always_there(name):
    text, font = fonts.drawable(name)
    assert font == fonts.DEJAVU and len(text) in (len(name), len(name) - 1) and 'U+' not in text


def test_code_points_stand_for_what_no_font_has(monkeypatch):
    monkeypatch.setattr(fonts, 'machine_fonts', list)
    assert fonts.drawable('天空 sky') == ('U+5929 U+7A7A sky', fonts.DEJAVU)


def test_blanks_and_line_breaks_are_one_blank():
    assert fonts.drawable(' red\n house\t')[0] == 'red house'


def test_a_font_of_the_machine_is_taken_if_it_has_all_glyphs(monkeypatch, sky_font, tmp_path):
    monkeypatch.setattr(fonts, 'machine_fonts', lambda: [str(tmp_path / 'gone.ttf'), sky_font])
    assert fonts.drawable('天 天') == ('天 天', sky_font)
    assert fonts.drawable('天空')[0] == 'U+5929 U+7A7A'


def test_the_legend_is_written_in_that_font(monkeypatch, sky_font):
    monkeypatch.setattr(fonts, 'machine_fonts', lambda: [sky_font])
    labels = np.full((400, 400), 255)
    labels[:2, :2] = 0
    strip = draw_overlay(np.zeros((400, 400, 3), np.uint8), labels, ['天'], [[200, 10, 10]])[400:]
    assert (strip == 30).all(-1).sum() > 14 * 14, 'a square of ink, beside the frame of the colour field'


def test_fonts_whose_glyphs_are_empty_boxes_do_not_count():
    assert not [path for path in fonts.machine_fonts() if 'LastResort' in path]
