"""The toy world as a regression test of the method, with margins far above the spread over seeds."""
import pytest
from fixtures.tools import load_tool


@pytest.fixture(scope='module')
def ablation():
    return load_tool('toy/ablation.py')


@pytest.mark.slow
def test_mvp_seg_beats_its_baseline_and_gpr_carries_it(ablation, tmp_path):
    templates, prompts, refined = (ablation.run(row, 0, tmp_path) for row in (
        'templates (MaskCLIP)', 'k=3 + OCLoss', 'k=3 + OCLoss + GPR (BCE presence loss)'))
    assert templates['hIoU'] > 30
    assert refined['hIoU'] > templates['hIoU'] + 8
    assert refined['mIoU_U'] > templates['mIoU_U'] + 8
    assert refined['mIoU'] > prompts['mIoU'] + 4


def test_table_has_mean_and_spread_of_each_row(tmp_path):
    tables = load_tool('toy/tables.py')
    results = [dict(row='a', seed=0, mIoU=1., mIoU_S=2., mIoU_U=3., hIoU=4.)]
    results += [dict(row='b', seed=seed, mIoU=seed, mIoU_S=seed, mIoU_U=seed, hIoU=10. + seed) for seed in (0, 2)]
    page = tmp_path / 'toy_ablation.md'
    page.write_text(f'# Title\n{tables.START}\nold\n{tables.END}\nDiscussion\n')
    table = tables.write(results, page)
    assert '| a | 2.0 | 3.0 | 4.0 | 1.0 | 1 |' in table
    assert '| b | 1.0 ± 1.4 | 1.0 ± 1.4 | 11.0 ± 1.4 | 1.0 ± 1.4 | 2 |' in table
    text = page.read_text()
    assert text.startswith('# Title\n') and text.endswith('Discussion\n') and 'old' not in text and table in text
    assert (tmp_path / 'toy_ablation.csv').read_text().splitlines()[1] == 'a,0,2.0,3.0,4.0,1.0'


@pytest.mark.slow
def test_a_student_beats_its_teacher_and_one_of_seen_labels_knows_no_other_class(tmp_path):
    transfer = load_tool('toy/transfer.py')
    teacher, student, early, blind = (transfer.run(row, 0, tmp_path) for row in (
        'teacher: MVP-SEG', 'student after phase 2 (MVP-SEG+)', 'student after phase 1 (10 % of the schedule)',
        'lower bound: student of seen labels only'))
    assert student['hIoU'] > max(teacher['hIoU'], early['hIoU']) + 2
    assert student['mIoU_U'] > blind['mIoU_U'] + 20


def test_demo_refuses_a_folder_that_holds_something(tmp_path, monkeypatch, capsys):
    (tmp_path / 'notes.txt').write_text('mine')
    monkeypatch.setattr('sys.argv', ['demo.py', '--work-dir', str(tmp_path)])
    with pytest.raises(SystemExit):
        load_tool('toy/demo.py').main()
    assert 'is not an empty folder: name a new folder' in capsys.readouterr().err
