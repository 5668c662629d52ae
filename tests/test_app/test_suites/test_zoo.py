"""The model zoo: our figures beside published ones, written between markers."""
import re
import statistics

import pytest
import yaml
from fixtures.suites import made

from mmseg_mvp.app.suites import zoo
from mmseg_mvp.app.suites.comparison import Line, compare, lines_of, own_lines, read_published, results
from mmseg_mvp.app.suites.rows import ROOT, Job, plan, suite_names
from mmseg_mvp.errors import UserError

DOCS = ROOT / 'docs'


def line(published, *rows, **settings):
    return Line(['a'], published, results=[[dict(metrics=one, commit='0123456789ab') for one in row] for row in rows],
                **settings)


@pytest.mark.parametrize('ours, differs, verdict', [
    (41.4, '', 'reproduced'), (42.6, '', 'above'), (40.4, '', 'below'), (41.4, 'x', 'close; protocols differ'),
    (42.6, 'x', 'above; protocols differ'), (None, '', '')])
def test_verdict_follows_the_difference(ours, differs, verdict):
    one = line([41.5], [{'mIoU': ours}] if ours else [], differs=differs)
    assert one.verdict() == verdict
    expected = [f'{ours:.1f}', f'{ours - 41.5:+.1f}', verdict, '012345678'] if ours else [''] * 4
    assert one.written() == ['a', '41.5', *expected]


def test_seeds_have_a_spread_and_folds_a_mean():
    seeds = [{'mIoU': 50.}, {'mIoU': 52.}, {'mIoU': 57.}]
    assert line([50.], seeds).written()[2] == f'53.0 ± {statistics.stdev([50, 52, 57]):.1f}'
    folds = line([47.4], [{'mIoU': 52.}, {'mIoU': 54.}], [{'mIoU': 43.}])
    assert folds.ours() == [48.] and folds.written()[2:5] == ['48.0', '+0.6', 'reproduced']
    assert line([47.4], [{'mIoU': 52.}], []).ours() == [None]  # a fold is missing
    assert line([50.], [{'mIoU': 50.}, {'mIoU': None}]).written()[2] == ''  # no seen class in one of the tests


def test_the_difference_is_that_of_the_last_published_metric():
    metrics = ['mIoU_S', 'mIoU_U', 'hIoU']
    ours = dict(mIoU_S=40., mIoU_U=50., hIoU=44.44)
    assert line([None, None, 45.5], [ours], metrics=metrics).written()[1:4] == [
        '- / - / 45.5', '40.0 / 50.0 / 44.44', '-1.1']
    assert line([38., 54., None], [ours], metrics=metrics).difference() == -4.
    assert line([None] * 3, [ours], metrics=metrics, note='not in the paper').written()[1:5] == [
        'not in the paper', '40.0 / 50.0 / 44.44', '', 'no published figure']
    assert line([None] * 3, [dict(ours, hIoU=None)], metrics=metrics).ours()[-1] is None


@pytest.fixture
def docs(tmp_path):
    """A copy of the pages that the zoo needs."""
    (tmp_path / 'docs').mkdir()
    for name in ('model_zoo.md', 'published.yaml'):
        (tmp_path / 'docs' / name).write_bytes((DOCS / name).read_bytes())
    return tmp_path / 'docs'


def row_of(page, start):
    return next(text for text in page.read_text().splitlines() if text.startswith(start)).split(' | ')


def test_the_page_is_what_the_published_figures_give(docs, tmp_path):
    before = (docs / 'model_zoo.md').read_text()
    zoo.write_zoo(docs, read_published(docs), tmp_path / 'empty')
    assert (docs / 'model_zoo.md').read_text() == before


def test_results_fill_their_line_and_stay_there(docs, tmp_path):
    job = next(job for job in plan('maskclip', '', tmp_path / 'work') if job.name == 'voc_zs')
    made(job, dict(mIoU=41.234))
    before = (docs / 'model_zoo.md').read_text()
    zoo.write_zoo(docs, read_published(docs), tmp_path / 'work')
    cells = row_of(docs / 'model_zoo.md', '| `voc_zs.py` | RN50 | 41.5')
    assert cells[3:6] == ['41.23', '-0.3', 'close; protocols differ']
    after = (docs / 'model_zoo.md').read_text()
    changed = [(one, other) for one, other in zip(before.splitlines(), after.splitlines()) if one != other]
    assert len(changed) == 1
    zoo.write_zoo(docs, read_published(docs), tmp_path / 'empty')  # another work dir without results
    assert (docs / 'model_zoo.md').read_text() == after
    made(job, dict(mIoU=43.))
    zoo.write_zoo(docs, read_published(docs), tmp_path / 'work')
    cells = row_of(docs / 'model_zoo.md', '| `voc_zs.py` | RN50 | 41.5')
    assert cells[3:6] == ['43.0', '+1.5', 'above; protocols differ']


def test_results_of_other_settings_are_omitted(tmp_path):
    job = plan('maskclip', 'voc_zs_vit', tmp_path)[0]
    made(job, dict(mIoU=41.))
    assert len(results('maskclip', job.row, tmp_path)) == 1
    job.result.write_text(job.result.read_text().replace('"options": {}', '"options": {"train_cfg.max_iters": 2}'))
    assert results('maskclip', job.row, tmp_path) == []


def test_eight_sets_have_an_overview_with_means(tmp_path):
    table = read_published(DOCS)['training-free']
    for job in plan('training-free', '_naclip$', tmp_path):
        made(job, dict(mIoU=40.))
    text = zoo.render(table, tmp_path)
    sclip = [59.1, 30.4, 30.5, 80.4, 34.2, 22.4, 32.2, 16.1]
    assert f'| SCLIP | {" | ".join(map(str, sclip))} | 38.2 |  |' in text
    naclip = [58.9, 32.2, 33.2, 79.7, 35.2, 23.3, 35.5, 17.4]
    assert f'| NACLIP | {" | ".join(map(str, naclip))} | 39.4 | 40.0 |' in text
    assert '| `cityscapes_naclip.py` | NACLIP | Cityscapes | 35.5 | 40.0 | +4.5 | above |' in text


def test_the_mean_of_an_overview_takes_the_figures_that_the_page_keeps(docs, tmp_path):
    published, page = read_published(docs), docs / 'model_zoo.md'
    jobs = plan('training-free', '_naclip$', tmp_path)
    for number, job in enumerate(jobs):  # each set on a machine of its own
        made(Job(job.suite, job.row, job.seed, tmp_path / str(number)), dict(mIoU=40. + number))
        zoo.write_zoo(docs, published, tmp_path / str(number))
    assert row_of(page, '| NACLIP |')[-1] == '43.5 |'  # of 40 to 47
    after = page.read_text()
    zoo.write_zoo(docs, published, tmp_path / 'empty')
    assert page.read_text() == after


def test_a_corrected_published_figure_keeps_ours(docs, tmp_path):
    made(plan('maskclip', '^voc_zs$', tmp_path)[0], dict(mIoU=41.234))
    made(plan('mvp-seg', '^voc_zs$', tmp_path)[0], dict(mIoU_S=40.004, mIoU_U=None, hIoU=52.14))
    published, page = read_published(docs), docs / 'model_zoo.md'
    zoo.write_zoo(docs, published, tmp_path)
    before = row_of(page, '| `voc_zs.py` | RN50 | 41.5')
    published['maskclip']['entries'][0]['published'] = 43.5
    published['mvp-seg']['entries'][0]['published'] = [None, None, 53.1]
    zoo.write_zoo(docs, published, tmp_path / 'empty')
    after = row_of(page, '| `voc_zs.py` | RN50 | 43.5')
    assert after[3:] == ['41.23', '-2.3', 'below; protocols differ', before[-1]]
    assert row_of(page, '| `voc_zs.py` | RN50 | 512, 20k')[3:6] == ['- / - / 53.1', '40.0 / - / 52.14', '-1.0']
    page.write_text(page.read_text().replace('41.23', 'soon').replace('-->\n', '-->\n| mine |\n'))  # by hand
    zoo.write_zoo(docs, published, tmp_path / 'empty')
    assert row_of(page, '| `voc_zs.py` | RN50 | 43.5')[3:5] == ['soon', '']


def test_a_test_on_a_part_of_the_set_is_not_compared(docs, tmp_path):
    published, page = read_published(docs), docs / 'model_zoo.md'
    for job in plan('training-free', '_naclip$', tmp_path):
        whole = dict(dataset='PascalVOCDataset', images=1449)
        made(job, dict(mIoU=58.), **(dict(whole, images=4) if job.name == 'voc21_naclip' else whole))
    zoo.write_zoo(docs, published, tmp_path)
    cells = row_of(page, '| `voc21_naclip.py` | NACLIP')
    assert cells[4:7] == ['58.0', '', 'not comparable: 4 images, the set has 1449']
    assert row_of(page, '| `voc20_naclip.py` | NACLIP')[6] == 'below'
    assert row_of(page, '| NACLIP |')[-2:] == ['39.4', ' |']  # no mean of ours
    after = page.read_text()
    zoo.write_zoo(docs, published, tmp_path / 'empty')
    assert page.read_text() == after


def test_a_page_without_markers_or_published_file_stays(tmp_path):
    (tmp_path / 'model_zoo.md').write_text('mine\n')
    zoo.write_zoo(tmp_path, read_published(DOCS), tmp_path)
    assert (tmp_path / 'model_zoo.md').read_text() == 'mine\n' and read_published(tmp_path) == {}
    (tmp_path / 'published.yaml').write_text('a: [')
    with pytest.raises(UserError, match='published.yaml can\'t be read'):
        read_published(tmp_path)


def test_cells_cannot_break_the_table():
    assert zoo.markdown(['a'], [['x | y']]).splitlines()[2] == r'| x \| y |'


def test_every_row_but_scripts_has_a_line_and_every_table_a_place():
    published, page = read_published(DOCS), (DOCS / 'model_zoo.md').read_text()
    for name in published:
        assert page.count(zoo.START.format(name)) == 1, name
    known = yaml.safe_load((DOCS / 'published.yaml').read_text())['tables']
    text = str(known)
    for suite in set(suite_names()) - {'toy'}:
        for job in plan(suite, '', ROOT):
            reference = f'{job.suite}/{job.row.name}'
            spread = re.sub('^training-free/.*_(maskclip|sclip|clearclip|naclip|naclip_pamr|proxy)$',
                            r'training-free/{set}_\1', reference)
            assert reference in text or spread in text, reference
        assert compare(suite, published, ROOT / 'nowhere')


# The figures that stood on the page before this file existed, by table and row.
FORMER = {
    'maskclip': [41.5, 49.5, 18.5, 21.7, 10.2, 12.5, 8.3, 50.9, 20.3, 13.6, 10.5],
    'dense': [61.4, 80.4, 80.9, 79.7, 86.0, 80.3],
    'maskclip-plus': [88.8, 86.1, 87.4, 44.4, 66.7, 53.3, 38.1, 54.7, 45.0], 'mvp-seg-plus': [45.5],
    'lseg-episodes': [52.8, 53.8, 44.4, 38.5, 47.4, 64.1, 52.3, 67.0, 22.1, 25.1, 24.9, 21.5, 23.4, 57.9, 27.2, 59.9,
                      84.7, 87.8], 'lseg-ade20k': [37.83]}


@pytest.mark.parametrize('name', FORMER)
def test_no_published_figure_was_lost(name, tmp_path):
    found = [figure for one in lines_of(read_published(DOCS)[name], tmp_path) for figure in one.published
             if figure is not None]
    assert found[:len(FORMER[name])] == FORMER[name]  # newer ones follow


def test_rows_of_a_file_have_lines_of_their_own(tmp_path):
    job = plan('maskclip', 'voc_zs$', tmp_path)[0]
    assert own_lines([job]) == [] and zoo.plain([]) == ''
    made(job, dict(mIoU=41., pAcc=3.))
    text = zoo.plain(own_lines([job]))
    assert '| voc_zs |  | 41.0 |  | no published figure |' in text
