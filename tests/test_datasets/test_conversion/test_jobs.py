"""Conversion of many files: continued after an interruption, in several processes, without loss."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.datasets.conversion import Job, convert
from mmseg_mvp.errors import UserError

ROOT = Path(__file__).parents[3]


def jobs(folder, count=6):
    return [Job((folder / f'{index}.txt', ), (folder / f'out ä/{index}.png', folder / f'out ä/{index}.tif'))
            for index in range(count)]


def pictures(job):
    """The number in the name, as 8 and as 16 bits; a text file in place of a source is refused."""
    number = int(job.sources[0].stem)
    if job.sources[0].exists():
        raise UserError(f'{job.sources[0]} is not a mask: replace it.')
    grey = np.full((3, 4), number)
    return [Image.fromarray(grey.astype(np.uint8)), Image.fromarray((300 + grey).astype(np.uint16))]


@pytest.mark.parametrize('processes', [1, 2])
def test_what_is_missing_is_written(tmp_path, processes):
    todo = jobs(tmp_path)
    kept = todo[2].targets[1]
    kept.parent.mkdir()
    kept.write_bytes(b'precious')
    for target in todo[3].targets:
        target.write_bytes(b'mine')
    assert convert(todo, pictures, processes) == '5 images converted, 1 existed.'
    assert kept.read_bytes() == b'precious' and todo[3].targets[0].read_bytes() == b'mine'
    assert np.asarray(Image.open(todo[2].targets[0])).max() == 2
    assert np.asarray(Image.open(todo[5].targets[1])).tolist() == [[305] * 4] * 3
    assert convert(todo, pictures, processes) == '0 images converted, 6 existed.'
    assert not [path for path in tmp_path.rglob('.*')]


@pytest.mark.parametrize('processes', [1, 2])
def test_a_bad_source_stops_with_its_sentence_and_keeps_the_rest(tmp_path, processes):
    todo = jobs(tmp_path)
    todo[4].sources[0].write_text('x')
    refused(lambda: convert(todo, pictures, processes), '4.txt', 'not a mask')
    assert not todo[4].targets[0].exists()
    todo[4].sources[0].unlink()
    convert(todo, pictures, processes)
    assert all(target.exists() for job in todo for target in job.targets)


def killed(job):
    """Dies as the kernel would have it, at the first job of a second process."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_ends_the_conversion_with_a_sentence(tmp_path):
    refused(lambda: convert(jobs(tmp_path), killed, 2), 'killed', '--nproc')


def test_numbers_of_processes(tmp_path):
    for processes in (0, -1, 1.5, True):
        refused(lambda: convert(jobs(tmp_path), pictures, processes), '--nproc', repr(processes))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'out ä').write_text('a file')
    refused(lambda: convert(jobs(tmp_path), pictures, 1), '0.png')


@pytest.mark.slow
def test_a_killed_conversion_continues(tmp_path):
    """The tool is killed while it works; the files that it left are complete, and a second run adds the others."""
    folder = tmp_path / 'annotations/val2017'
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 91, (600, 800), dtype=np.uint8)
    for index in range(60):
        Image.fromarray(values).save(folder / f'{index:012d}.png', compress_level=1)
    tool = [sys.executable, str(ROOT / 'tools/dataset_converters/coco_object.py'), str(tmp_path), '--nproc', '2']
    process = subprocess.Popen(tool, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 60
    while len(list(folder.glob('*_instanceTrainIds.png'))) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    early = {path: path.read_bytes() for path in folder.glob('0*_instanceTrainIds.png')}
    assert 5 <= len(early) < 60
    said = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    assert f'{60 - len(early)} images converted, {len(early)} existed.' in said
    contents = {path.read_bytes() for path in folder.glob('0*_instanceTrainIds.png')}
    assert len(contents) == 1 and {*early.values()} == contents
    assert len(list(folder.iterdir())) == 120
