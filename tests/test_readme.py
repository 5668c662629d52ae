"""The README does what it says: its commands are CI's, its Python runs."""
import re
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def blocks(language):
    return re.findall(rf'```{language}\n(.*?)```', README, flags=re.DOTALL)


def test_the_two_commands_are_what_ci_runs():
    ci = (ROOT / '.ci/run').read_text().replace(' --quiet', '')
    for command in (part.strip() for block in blocks('bash')[:2] for part in block.split('&&')):
        assert command in ci, command


def test_files_and_links_exist():
    for target in re.findall(r'\]\((?!http)([^)#]+)\)', README) + re.findall(r'(?:configs|tools)/[\w/-]+\.py', README):
        assert (ROOT / target).exists(), target
    for stem in ('voc', 'context', 'ade20k', 'coco_stuff'):
        assert stem in README


def test_three_lines_of_python_segment_a_photo(tmp_path, monkeypatch, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 90, 3), dtype=np.uint8)).save(tmp_path / 'photo.jpg')
    code = blocks('python')[0].replace("'photo.jpg'", repr(str(tmp_path / 'photo.jpg')))
    monkeypatch.chdir(ROOT)
    capsys.readouterr()
    scope = {}
    exec(code, scope)
    assert len(code.strip().splitlines()) == 3
    assert re.search(r'tensor\(\[[012, ]+\]\)', capsys.readouterr().out)
    result = scope['inference_model'](scope['model'], str(tmp_path / 'photo.jpg'))
    assert result.pred_sem_seg.data.shape == (1, 48, 90)
