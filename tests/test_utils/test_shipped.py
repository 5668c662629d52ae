"""Shipped configs by short names."""
from pathlib import Path

import pytest

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.shipped import ROOT, config_names, find_config_file


def test_each_shipped_config_has_a_short_name_and_parts_have_none():
    names = config_names()
    assert {'mvp_seg/voc_zs', 'maskclip/toy_zs', 'lseg/ade20k_vit-l16'} <= set(names)
    assert not any(name.startswith('_base_') for name in names)
    assert len(names) == len([path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts])


@pytest.mark.parametrize('name', ['mvp_seg/voc_zs', 'mvp_seg/voc_zs.py', 'configs/mvp_seg/voc_zs.py',
                                  './configs/mvp_seg/voc_zs.py'])
def test_short_names_are_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(find_config_file(name)) == ROOT / 'configs/mvp_seg/voc_zs.py'


def test_the_users_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path('mvp_seg/voc_zs.py')
    own.parent.mkdir()
    own.write_text('model = dict()\n')
    assert find_config_file(str(own)) == str(own)


@pytest.mark.parametrize('name, near', [('mvp_seg/voc_sz', 'mvp_seg/voc_zs'), ('configs/maskclip/ade_zs.py',
                                        'maskclip/ade20k_zs'), ('mvpseg/context_zs', 'mvp_seg/context_zs'),
                                        ('voc_zs', 'maskclip/voc_zs or mvp_seg/voc_zs or mvp_seg_plus/voc_zs')])
def test_a_near_name_is_suggested(name, near):
    with pytest.raises(UserError, match=f'config {name} does not exist: did you mean {near}\\? Expected a file'):
        find_config_file(name)


@pytest.mark.parametrize('name', ['qqqq', '../tools/train', '_base_/default_runtime', 'x' * 5000])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match='does not exist: .*xpected a file, or the name of a shipped config'):
        find_config_file(name)
