"""Reading of config files."""
import argparse

import pytest

from mmseg_mvp import app
from mmseg_mvp.errors import UserError


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    app.add_common_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize('text, named', [
    (None, 'does not exist'), ('model = dict(', 'SyntaxError'), ("_base_ = './nobody.py'", 'nobody.py'),
    ("custom_imports = dict(imports=['nobody_there'])", "No module named 'nobody_there'"),
])
def test_unreadable_config_is_named(tmp_path, text, named):
    config = tmp_path / 'config.py'
    if text is not None:
        config.write_text(text)
    with pytest.raises(UserError) as caught:
        app.load_config(parse(str(config)))
    assert str(config) in str(caught.value) and named in str(caught.value) and '\n' not in str(caught.value)
