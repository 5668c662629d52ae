"""Only ``mmseg_mvp/clip/`` depends on the internals of open_clip."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERNALS = {'visual', 'resblocks', 'token_embedding', 'attnpool'}
OWN = (ROOT / 'mmseg_mvp' / 'clip', ROOT / 'tests' / 'test_clip')
# benchmarks/ is not listed: it compares with open_clip's own towers.
SOURCES = [path for folder in ('mmseg_mvp', 'tools', 'tests') for path in sorted((ROOT / folder).rglob('*.py'))
           if not any(path.is_relative_to(own) for own in OWN)]


def internals(source: str) -> list[str]:
    """Return the uses of open_clip's internals in Python code, as line and name."""
    names = {node.lineno: node.attr for node in ast.walk(ast.parse(source))
             if isinstance(node, ast.Attribute) and node.attr in INTERNALS}
    names |= {node.lineno: node.args[1].value for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('getattr', 'hasattr')
              and isinstance(node.args[1], ast.Constant) and node.args[1].value in INTERNALS}
    return [f'line {line}: {name}' for line, name in sorted(names.items())]


@pytest.mark.parametrize('folder', ['mmseg_mvp', 'tools', 'tests'])
def test_sources_outside_use_no_internals(folder):
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    assert len(sources) > 5
    found = {str(path.relative_to(ROOT)): uses for path in sources if (uses := internals(path.read_text('utf-8')))}
    assert not found


def test_uses_are_found():
    code = "model.visual.proj\nx = 1\ngetattr(model, 'visual')\nlast = tower.transformer.resblocks[-1]\nvisual = 3"
    assert internals(code) == ['line 1: visual', 'line 3: visual', 'line 4: resblocks']
