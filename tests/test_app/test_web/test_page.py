"""The page checks each file that a client names. The browser's tests are in tests/test_tools/test_app.py."""
import gradio as gr
import pytest

from mmseg_mvp.app.web.page import Page


def test_gradio_looks_only_at_uploads(tmp_path, monkeypatch):
    """Wherever in the data of a client something calls itself a file."""
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    (tmp_path / 'scene.png').write_bytes(b'')
    with Page() as page:
        box = gr.Textbox()
        box.submit(print, box)
    function = next(iter(page.fns.values()))
    file = dict(path=str(tmp_path / 'scene.png'), meta=dict(_type='gradio.FileData'))
    page.validate_inputs(function, ['text'])
    page.validate_inputs(function, [[dict(deep=file)]])
    with pytest.raises(gr.Error, match='not among the uploads'):
        page.validate_inputs(function, [[dict(deep={**file, 'path': 'http://127.0.0.1:1/x'})]])
