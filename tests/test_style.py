"""Plain English: words and forms that CONTRIBUTING rules out, in docstrings, comments, messages and pages."""
import ast
import io
import re
import tokenize
from pathlib import Path

import pytest
from fixtures.docs import PAGES

ROOT = Path(__file__).parents[1]
PARTS = ('mmseg_mvp', 'tools', 'configs', 'benchmarks')
NOTEBOOKS = sorted((ROOT / 'docs').glob('*.ipynb'))
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob('*.py'))
# A sentence must not begin so.
BEGINNINGS = re.compile(r'(?:^|[.!?]\s+)(What|Whether|Whoever|Where it)\b(?![^.!?]*\?)', re.MULTILINE)
WORDS = re.compile(
    r'\bleave (?:it|them|the \w+|[\w.-]+) away\b|\bparted by\b|\bwhoever\b|\bto be had\b|\bcan\'t be had\b'
    r'|\bmend(?:s|ed)?\b'
    r'|(?<!there )\bis no (?:[a-z]+ )?(?:file|folder|text|name|image|array|config|port|number)\b'
    r'|(?<!there )\bare no (?:weights|names|strings|numbers|images)\b|\bin the place of\b'
    r'|\bso as to\b|\bthe very\b|\bthat there is\b',
    re.IGNORECASE)


def prose(path: Path) -> list[tuple[int, str]]:
    """Docstrings, comments and other strings with a space, by line."""
    text = path.read_text('utf-8')
    strings = [(node.lineno, node.value) for node in ast.walk(ast.parse(text))
               if isinstance(node, ast.Constant) and isinstance(node.value, str) and ' ' in node.value]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [(token.start[0], token.string.lstrip('#! ')) for token in tokens if token.type == tokenize.COMMENT]
    return strings + comments


def faults(text: str) -> list[str]:
    return [match.group().strip() for pattern in (BEGINNINGS, WORDS) for match in pattern.finditer(text)]


def test_sources_are_in_plain_english():
    found = [f'{path.relative_to(ROOT)}:{line}: {fault}' for path in SOURCES for line, text in prose(path)
             for fault in faults(text)]
    assert not found


@pytest.mark.parametrize('page', [page for page in (*PAGES, *NOTEBOOKS) if page.name != 'CONTRIBUTING.md'],
                         ids=lambda page: page.name)
def test_pages_are_in_plain_english(page):
    text = re.sub(r'```.*?```', '', page.read_text('utf-8'), flags=re.DOTALL)
    found = [f'{text[:match.start()].count(chr(10)) + 1}: {match.group().strip()}' for pattern in (BEGINNINGS, WORDS)
             for match in pattern.finditer(text)]
    assert not found


@pytest.mark.parametrize('text', ['What the sides are padded to.', 'It runs. Whoever is first, waits.',
                                  'leave the config away', 'names parted by commas', 'a.txt is no file'])
def test_riddles_are_found(text):
    assert faults(text)


@pytest.mark.parametrize('text', ['What is the difference?', 'Padded to a multiple of this.', 'There is no mask.'])
def test_plain_sentences_pass(text):
    assert not faults(text)
