"""Literal values in the text of a config."""
import ast

import pytest
from mmengine.config import Config

from mmseg_mvp.checkpoints.config_text import UNREAD, assignment, read_settings

SETTINGS = dict(
    model=dict(type='A', names={'a b': None, '1': True}, sizes=(8, -8), steps=[1e-05, 'it\'s "ä"\n']), lr=0.1)


def test_values_come_as_they_were_written():
    assert read_settings(Config(SETTINGS).pretty_text) == SETTINGS


def test_other_parts_are_left_unread():
    text = 'import os\na = dict(b=os, c=1)\nd, e = 1, 2\nf += 1\ng = [open("x"), inf]\nh = dict(**a)'
    assert read_settings(text) == dict(a=dict(b=UNREAD, c=1), g=[UNREAD, UNREAD])
    assert read_settings('a = (') == read_settings('(' * 10**5) == read_settings('') == {}


@pytest.mark.parametrize('text', ['a = os', 'a = [open("x")]', 'a = dict(b=os)', 'import os', 'a.b = 1'])
def test_strict_reading_refuses_them(text):
    with pytest.raises(ValueError):
        assignment(ast.parse(text).body[0])
