"""Suites are read as data, and their rows become jobs in an order that works."""
import json

import pytest
from fixtures.suites import jobs_of, write_suite

from mmseg_mvp.app.suites.rows import ROOT, plan, read_suite, shard, suite_names
from mmseg_mvp.errors import UserError

A, B = dict(name='a', config='a.py'), dict(name='b', config='b.py')


def test_each_seed_is_a_job_with_files_of_its_own(tmp_path):
    one, *seeds = jobs_of(tmp_path, A, dict(B, train=True, seeds=[0, 2]))
    assert [one.name, *(job.name for job in seeds)] == ['a', 'b_seed0', 'b_seed2']
    assert seeds[1].result == tmp_path / 'work/mine/b_seed2.json' and seeds[1].row.train == 'b.py'
    assert one.row.train == '' and one.seed is None


def test_needed_rows_come_first_with_the_same_seed(tmp_path):
    student = dict(name='student', config='s.py', train=True, seeds=[1, 5], needs={'model.teacher': 'mine/teacher'})
    teacher = dict(name='teacher', config='t.py', train=True, seeds=[0, 1])
    path = write_suite(tmp_path, student, teacher)
    jobs = plan(path, 'student', tmp_path)
    assert [job.name for job in jobs] == ['teacher_seed1', 'student_seed1', 'teacher_seed0', 'student_seed5']
    assert jobs[1].needs == {'model.teacher': jobs[0]}


def test_a_shipped_suite_can_need_another(tmp_path):
    names = [job.title for job in plan('mvp-seg-plus', 'voc', tmp_path)]
    assert names == ['mvp-seg-plus/voc_unlabelled', 'mvp-seg/voc_zs', 'mvp-seg-plus/voc_zs']


def test_shards_cover_all_jobs_once_and_keep_chains_together(tmp_path):
    chained = dict(name='c', config='c.py', needs={'x': 'mine/a'})
    jobs = jobs_of(tmp_path, A, B, chained, *(dict(name=f'd{i}', config='d.py') for i in range(5)))
    parts = [[job.name for job in shard(jobs, f'{i}/3', {})] for i in range(3)]
    assert sorted(sum(parts, [])) == sorted(job.name for job in jobs)
    assert parts[0][:2] == ['a', 'c'] and all(len(part) >= 2 for part in parts)
    array = {f'SLURM_ARRAY_TASK_{key}': value for key, value in dict(ID='7', MIN='3', STEP='2', COUNT='3').items()}
    assert [job.name for job in shard(jobs, None, array)] == parts[2]
    assert shard(jobs, None, {}) == jobs and shard(jobs, '1/2', array) != parts[2]


@pytest.mark.parametrize('part', ['3/3', '1', '-1/2', 'a/b', '1/0'])
def test_a_wrong_shard_is_refused(part):
    with pytest.raises(UserError, match='is not I/N'):
        shard([], part, {})


def test_an_unknown_suite_suggests_the_nearest(tmp_path):
    with pytest.raises(UserError, match="no suite 'mask-clip': did you mean 'maskclip'"):
        read_suite('mask-clip')
    with pytest.raises(UserError, match='no suite .*expected one of lseg, maskclip'):
        read_suite(str(tmp_path / 'gone.yaml'))
    assert set(suite_names()) == {'toy', 'training-free', 'maskclip', 'mvp-seg', 'mvp-seg-plus', 'lseg'}


def test_a_file_with_the_name_of_a_shipped_suite_is_refused(tmp_path):
    with pytest.raises(UserError, match='name of a shipped suite'):
        plan(write_suite(tmp_path, A, name='maskclip'), '', tmp_path)
    assert plan(str(ROOT / 'configs/suites/maskclip.yaml'), '', tmp_path) == plan('maskclip', '', tmp_path)


@pytest.mark.parametrize('rows, message', [
    ([{}], 'Row 1 .* has the name None'), (['a'], "Row 1 .* is 'a'"), ([dict(A, seed=1)], "unknown key 'seed'"),
    ([dict(name='../a', config='a.py')], r"name '\.\./a': expected letters"), ([A, A], "two rows named 'a'"),
    ([dict(name='a')], 'both or neither of config and script'), ([dict(A, seeds=[])], 'has no seed'),
    ([dict(A, seeds=[True])], 'has the seed True'), ([dict(A, seeds=3)], 'expected a list'),
    ([dict(A, options={'model': {'a': 1}})], 'dotted key'), ([dict(A, needs={'x': 'a'})], 'expected SUITE/ROW'),
    ([dict(A, needs={'x': 'mine/z'})], 'mine has no row z'), ([dict(A, needs={'x': 'mine/a'})], 'need each other'),
    ([], 'no list of rows')])
def test_wrong_rows_are_refused_in_one_sentence(rows, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        jobs_of(tmp_path, *rows)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['rows: [', 'rows: !!python/object/apply:os.system [ls]', '- a', '', 'rows: 3'])
def test_a_file_of_another_kind_is_refused(text, tmp_path):
    (tmp_path / 'a.yaml').write_text(text)
    with pytest.raises(UserError, match='The suite .*a.yaml'):
        read_suite(str(tmp_path / 'a.yaml'))
    (tmp_path / 'a.yaml').write_bytes(b'rows: \xff\xfe')
    with pytest.raises(UserError, match='can\'t be read'):
        read_suite(str(tmp_path / 'a.yaml'))


def test_rows_are_chosen_by_a_regular_expression(tmp_path):
    path = write_suite(tmp_path, A, B)
    assert [job.name for job in plan(path, '^b', tmp_path)] == ['b']
    for pattern, message in (('z', 'matches no row of .*its rows are a, b'), ('[', 'is not a regular expression')):
        with pytest.raises(UserError, match=message):
            plan(path, pattern, tmp_path)
    with pytest.raises(UserError) as error:
        plan('training-free', 'voc21_nacl1p', tmp_path)
    assert 'rows include voc21_naclip' in str(error.value) and str(error.value).count('_') < 10


def test_names_and_values_may_be_of_any_language(tmp_path):
    job, = jobs_of(tmp_path, dict(name='größe_1', config='ä b.py', options={'model.a': [1, 'é']}))
    assert job.result.name == 'größe_1.json' and json.dumps(job.row.options)
