"""The notebooks of the docs: cleared, linked, in plain English, and executed.

Their cells are plain Python, so they run without a kernel, which would bring thirty packages into each lane of CI.
IPython shows the last expression of a cell by its ``_repr_png_`` or ``_repr_html_``.
"""
import ast
import json
import re
from io import BytesIO

import pytest
from fixtures.docs import ROOT, links
from PIL import Image

from mmseg_mvp.apis import Segmentation
from mmseg_mvp.apis.notebook import Segmentations

NOTEBOOKS = sorted((ROOT / 'docs').glob('*.ipynb'))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def cells(path, kind):
    """Texts of the cells of a kind."""
    found = json.loads(path.read_text('utf-8'))['cells']
    return [''.join(cell['source']) for cell in found if cell['cell_type'] == kind]


def test_a_notebook_is_cleared_and_linked(notebook):
    content = json.loads(notebook.read_text('utf-8'))
    assert (content['nbformat'], content['nbformat_minor']) == (4, 5)  # with ids of cells
    assert len({cell['id'] for cell in content['cells']}) == len(content['cells'])
    for cell in content['cells']:
        assert cell['cell_type'] == 'markdown' or (cell['outputs'], cell['execution_count']) == ([], None)
    assert notebook.name in links(ROOT / 'docs' / 'index.md')
    for target in re.findall(r'\]\((?!https?:)([^)\s#]+)', '\n'.join(cells(notebook, 'markdown'))):
        assert (notebook.parent / target).exists()


def run(code, names):
    """Run a cell and return the value of its last expression, or None."""
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, 'cell', 'exec'), names)
    return last and eval(compile(last, 'cell', 'eval'), names)


@pytest.mark.slow
def test_a_notebook_runs_and_shows_its_results(notebook, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, shown = {}, []
    for code in cells(notebook, 'code'):
        shown.append(run(code, names))
    assert sum(isinstance(one, Segmentation) for one in shown) >= 2 and not list(tmp_path.iterdir())
    for one in shown:
        if isinstance(one, Segmentation):
            assert len(one.present()) > 1 and Image.open(BytesIO(one._repr_png_())).size[0] > 300
        elif isinstance(one, list):
            assert isinstance(one, Segmentations) and one._repr_html_().count('<img') == len(one) > 1
    assert 'the list of images is empty' in capsys.readouterr().out
