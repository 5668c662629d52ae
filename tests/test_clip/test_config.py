"""The clip entry of a config."""
from mmseg_mvp.clip import check_clip


def test_clip_may_be_a_path(tmp_path):
    assert check_clip(dict(model=tmp_path, weights=None)) == dict(model=str(tmp_path), weights=None)
