"""Every row of every suite through tools/benchmark.py, on trees of the true file formats, for two iterations."""
import json
import math
import shutil

import pytest
from fixtures import trees
from fixtures.docs import ROOT
from fixtures.suite_runs import ITERATIONS, in_process, small_configs, small_studies
from fixtures.tools import load_tool

from mmseg_mvp.app.suites import comparison
from mmseg_mvp.app.suites.rows import plan
from mmseg_mvp.datasets.conversion import convert
from mmseg_mvp.datasets.conversion.ade20k_full import ade20k_full_jobs, ade20k_full_pictures
from mmseg_mvp.datasets.conversion.ade20k_ids import OBJECT_IDS
from mmseg_mvp.datasets.conversion.coco_object import coco_object_jobs, coco_object_pictures
from mmseg_mvp.datasets.conversion.context459 import context459_jobs, context459_pictures
from mmseg_mvp.vocabularies import load_vocabulary

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A folder with ``data/`` as a user has it, converted masks among it, and the weights of LSeg's backbones."""
    folder = tmp_path_factory.mktemp('machine')
    data = folder / 'data'
    for write in (trees.write_voc, trees.write_context, trees.write_ade20k, trees.write_cityscapes):
        write(data, val=2)
    for write in (trees.write_coco_stuff, trees.write_bdd100k, trees.write_mapillary, trees.write_pascal5i,
                  trees.write_coco20i, trees.write_fss1000):
        write(data)
    convert(coco_object_jobs(trees.write_coco_pixel_maps(data), ['val2017']), coco_object_pictures, 1)
    convert(context459_jobs(trees.write_context_mat(data, val=2), ['val']), context459_pictures, 1)
    names = [', '.join(words) for words in load_vocabulary('ade20k_847').values()]
    convert(ade20k_full_jobs(trees.write_ade20k_full(data, OBJECT_IDS, names, val=2), ['validation']),
            ade20k_full_pictures, 1)
    (folder / 'pretrain').mkdir()
    for name in ('vit_large_patch16_384', 'vit_base_patch32_384'):
        (folder / f'pretrain/{name}.pth').touch()  # only looked for, because the small networks are random
    return folder


def run(suite, work, docs, monkeypatch, capsys):
    """Run a suite; write its tables into copies of the pages."""
    (docs / 'images').mkdir(parents=True)
    for name in ('model_zoo.md', 'published.yaml'):
        shutil.copy(ROOT / 'docs' / name, docs)
    words = [suite, '--work-dir', work, '--docs', docs, '--jobs', 1]
    monkeypatch.setattr('sys.argv', ['benchmark.py', *map(str, words)])
    benchmark = load_tool('benchmark.py')
    code = benchmark.benchmark(benchmark.parse_args())
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize('suite', ['maskclip', 'training-free', 'mvp-seg-plus', 'mvp-seg', 'lseg'])
def test_every_row_gives_a_figure(suite, tree, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    in_process(monkeypatch, small_configs)
    docs, work = tmp_path / 'docs', tree / 'work'
    run(suite, work, docs, monkeypatch, capsys)
    jobs = plan(suite, '', work)
    for job in jobs:
        result = json.loads(job.result.read_text())
        assert result['metrics'] and all(0 <= value <= 100 for value in result['metrics'].values() if value is not None)
        assert not any(math.isnan(one['IoU']) for one in result['classes'] if one.get('IoU') is not None)
        assert bool(job.row.train) == result['tested_checkpoint'].endswith(f'iter_{ITERATIONS}.pth'), job.title
    lines = comparison.compare(suite, comparison.read_published(docs), work)
    assert lines and not [line.cells for line in lines if line.ours()[-1] is None]


def test_every_study_of_the_toy_world_writes_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    in_process(monkeypatch, small_configs)
    small_studies(monkeypatch)
    shutil.copy(ROOT / 'README.md', tmp_path)
    docs, work = tmp_path / 'docs', tmp_path / 'work'
    run('toy', work, docs, monkeypatch, capsys)
    for job in plan('toy', '', work):
        result = json.loads(job.result.read_text())
        assert result['runs'] and all(0 <= float(one['hIoU']) <= 100 for one in result['runs']), job.title
        page = (docs / f'toy_{job.name}.md').read_text()
        assert all(one['row'] in page for one in result['runs'])
    assert (tmp_path / 'README.md').read_text() != (ROOT / 'README.md').read_text()
