"""The toy world as a regression test of the method, with margins far above the spread over seeds."""
import csv
import itertools
from pathlib import Path

import pytest
import torch
from fixtures.builders import CONFIGS
from fixtures.tools import load_tool
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_mvp.models.text.view_fusion import ViewFusion

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def ablation():
    return load_tool('toy/ablation.py')


@pytest.mark.slow
def test_mvp_seg_beats_its_baseline_and_gpr_carries_it(ablation, tmp_path):
    templates, prompts, refined = (ablation.run(row, 0, 0, tmp_path) for row in (
        'templates', 'k=3, M=6, sum, squared OCLoss', 'k=3, M=6, sum, squared OCLoss + GPR'))
    assert templates['hIoU'] > 30
    assert refined['hIoU'] > templates['hIoU'] + 8
    assert refined['mIoU_U'] > templates['mIoU_U'] + 8
    assert refined['mIoU'] > prompts['mIoU'] + 4


@pytest.mark.slow
def test_the_clips_of_the_ablation_are_those_of_its_page(ablation, tmp_path):
    with open(ROOT / 'docs/toy_ablation.csv', newline='') as file:
        figures = {int(one['clip']): float(one['hIoU']) for one in csv.DictReader(file) if one['row'] == 'templates'}
    assert len(figures) == 3 and len({round(one, 1) for one in figures.values()}) == 3
    for clip, figure in figures.items():
        assert ablation.run('templates', clip, 0, tmp_path)['hIoU'] == pytest.approx(figure, abs=0.05)


def test_another_clip_is_trained_with_all_instructions_of_the_processor(ablation, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(ablation.subprocess, 'run', lambda command, **options: calls.append((command, options['env'])))
    monkeypatch.setenv('ONEDNN_MAX_CPU_ISA', 'AVX2')
    assert [ablation.clip_weights(seed, tmp_path / 'new') for seed in range(3)] == [
        'toy', *(str(ROOT / f'tools/toy/clips/toy-rn_{seed}.safetensors') for seed in (1, 2))]
    assert not calls
    path = tmp_path / 'new/toy-rn_3.safetensors'
    assert ablation.clip_weights(3, tmp_path / 'new') == str(path)
    (command, environment), = calls
    assert command[-4:] == ['--seed', '3', '--out', path] and 'ONEDNN_MAX_CPU_ISA' not in environment
    path.touch()
    assert ablation.clip_weights(3, tmp_path / 'new') == str(path) and len(calls) == 1


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


def test_a_stopped_study_continues(tmp_path):
    tables = load_tool('toy/tables.py')
    jobs, asked = [dict(row=row, clip=clip, seed=1) for row in ('a, b', 'c') for clip in (0, 1)], []

    def run(row, clip, seed):
        asked.append((row, clip))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return dict.fromkeys(tables.METRICS, 10.123456 + clip)

    with pytest.raises(KeyboardInterrupt):
        tables.collect(jobs, run, tmp_path / 'new/results.csv')
    results = tables.collect(jobs, run, tmp_path / 'new/results.csv')
    assert asked == [('a, b', 0), ('a, b', 1), ('c', 0), ('c', 0), ('c', 1)]
    assert results == [dict(job, **dict.fromkeys(tables.METRICS, 10.1235 + job['clip'])) for job in jobs]
    assert tables.collect(jobs[:1], run, tmp_path / 'new/results.csv') == results[:1] and len(asked) == 5


def paired():
    """Two rows under two CLIPs and two seeds, and templates with one run per CLIP."""
    figures = dict(a=[50., 52., 60., 61.], b=[49., 50., 61., 58.])
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    results = [dict(row=row, clip=clip, seed=seed, hIoU=value) for row, values in figures.items()
               for (clip, seed), value in zip(keys, values)]
    return [*results, *(dict(row='templates', clip=clip, seed=0, hIoU=40. + clip) for clip in (0, 1))]


GROUPS = {'CLIP 0': {'clip': 0}, 'CLIP 1': {'clip': 1}}


def test_differences_are_paired_by_clip_and_seed():
    tables = load_tool('toy/tables.py')
    table = tables.differences(paired()[::-1], [('a', 'b'), ('a', 'missing'), ('b', 'templates')], GROUPS)
    # Differences 1, 2, -1, 3: mean 1.25, deviation 1.7078, t of 3 degrees of freedom 3.1824.
    # Differences 9, 10, 20, 17: mean 14, deviation 5.3541.
    assert table.splitlines()[2:] == ['| a | b | +1.2 | -1.5 to +4.0 | 3 of 4 | +1.5 | +1.0 |',
                                      '| b | templates | +14.0 | +5.5 to +22.5 | 4 of 4 | +9.5 | +18.5 |']


def test_a_column_per_clip():
    tables = load_tool('toy/tables.py')
    assert tables.by_group(paired(), GROUPS).splitlines()[2:] == [
        '| a | 51.0 ± 1.4 | 60.5 ± 0.7 |', '| b | 49.5 ± 0.7 | 59.5 ± 2.1 |', '| templates | 40.0 | 41.0 |']


@pytest.fixture
def cached():
    return load_tool('toy/cached.py')


@pytest.mark.usefixtures('mmseg_scope')
def test_cached_runs_see_the_same_pictures_and_features(cached, tmp_path):
    cfg = Config.fromfile(CONFIGS / 'mvp_seg/toy_zs.py')
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), log_level='ERROR', experiment_name=str(tmp_path)))
    plain = DATASETS.build(dict(cfg.train_dataloader.dataset, num_images=3))
    runner = cached.build_runner(cfg)
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, num_images=3))
    assert type(dataset).__name__ == 'CachedScenes'
    for _ in range(2):
        for index in (2, 0):
            one, other = dataset[index], plain[index]
            assert torch.equal(one['inputs'], other['inputs']) and one['data_samples'] is not other['data_samples']
            assert torch.equal(one['data_samples'].gt_sem_seg.data, other['data_samples'].gt_sem_seg.data)
            one['data_samples'].gt_sem_seg.data = one['data_samples'].gt_sem_seg.data + 1  # as a run may
    images = torch.randn(3, 3, 64, 64)
    expected = runner.model.backbone(images)
    runner.model.backbone.forward = None  # known images need no tower
    with pytest.raises(TypeError):
        runner.model.extract_feat(images)
    del runner.model.backbone.forward
    for order in ([0, 1, 2], [2, 2, 1]):
        found, = runner.model.extract_feat(images[order])
        assert torch.allclose(found, expected[0][order], atol=1e-3)  # values of up to 20
    runner.model.backbone.forward = None
    assert torch.equal(runner.model.extract_feat(images[[1]])[0], found[[2]])


def test_dropped_views_fuse_some_prompts_in_training_and_all_in_tests(cached):
    maps = torch.randn(2, 4, 3, 5, 5)  # three views and the global prompt
    fusion = cached.DroppedViews(3, 'logsumexp')
    assert torch.equal(fusion.eval()(maps), ViewFusion(3, 'logsumexp')(maps))
    subsets = [kept for count in (1, 2, 3) for kept in itertools.combinations(range(3), count)]
    expected = [3 / 50 * torch.log(torch.stack([(50 * maps[:, i].double()).exp() for i in kept]).mean(0))
                for kept in subsets]
    seen = set()
    for _ in range(100):
        found = fusion.train()(maps)
        assert torch.equal(found[:, 1:], maps[:, 3:])
        seen |= {kept for kept, value in zip(subsets, expected)
                 if torch.allclose(found[:, 0].double(), value, atol=1e-4)}
    assert seen == set(subsets)


def test_the_loss_of_coverage_is_the_mean_divergence_of_the_shares_of_prompts(cached):
    scores = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 1, 10, 12))  # class 3 is absent
    label[:, :, :2] = 255
    expected = []
    for c in range(3):
        pixels = [(b, y, x) for b in range(2) for y in range(5) for x in range(6) if label[b, 0, 2 * y, 2 * x] == c]
        wins = [torch.stack([scores[b, i, c, y, x].exp() for i in range(3)]) for b, y, x in pixels]
        share = sum(win / win.sum() for win in wins) / len(wins)
        expected.append(sum(part * torch.log(part / (1 / 3)) for part in share))
    assert torch.allclose(cached.coverage_loss(scores, label), sum(expected) / 3)
    assert cached.coverage_loss(torch.zeros(2, 3, 4, 5, 6), label).abs() < 1e-6  # each prompt has a third


def test_a_head_with_coverage_logs_its_loss_of_the_maps_in_use(cached, tmp_path):
    ablation = load_tool('toy/ablation.py')
    runner = ablation.build('k=3, M=6, coverage', 0, 0, tmp_path)
    model = runner.model
    data = model.data_preprocessor(next(iter(runner.build_dataloader(runner._train_dataloader))), training=True)
    losses = model.loss(data['inputs'], data['data_samples'])
    head = model.decode_head
    maps = head.view_maps(model.extract_feat(data['inputs']))
    label = torch.stack([sample.gt_sem_seg.data for sample in data['data_samples']])
    expected = ablation.COVERAGE * cached.coverage_loss(50. * maps, label)
    assert torch.allclose(losses['decode.loss_coverage'], expected, atol=1e-5) and expected > 0


def test_norms_are_those_of_the_mean_context_vectors_in_the_checkpoints(tmp_path):
    ablation, results = load_tool('toy/ablation.py'), []
    for seed in (0, 1):
        contexts = torch.zeros(4, 6, 4)  # the first is the global prompt
        # Half of the vectors are 0, so the means are halved.
        contexts[:, :3, 0] = torch.tensor([9., 1., 2., 3.])[:, None] + seed
        row = 'k=3, M=6, sum, OCLoss + GPR'
        target = tmp_path / f'{list(ablation.ROWS).index(row)}_1_{seed}'
        target.mkdir()
        torch.save({'state_dict': {'decode_head.classifier.prompts.contexts': contexts}}, target / 'iter_450.pth')
        results.append(dict(row=row, clip=1, seed=seed))
    lines = ablation.context_norms(results, tmp_path).splitlines()
    assert lines[0] == '| row | CLIP 1 |' and '| k=3, M=6, sum, OCLoss + GPR | 0.50 to 2.00 |' in lines
    assert sum('to' in line for line in lines) == 1  # rows without runs stay empty


def test_the_study_covers_each_setting_once():
    ablation = load_tool('toy/ablation.py')
    heads = [(tuple(sorted(map(str, options.items()))), 'dropout' in row, 'coverage' in row)
             for row, options in ablation.ROWS.items() if options]
    assert len(set(heads)) == len(heads) == len(ablation.ROWS) - 1
    assert all(row in ablation.ROWS for pair in ablation.PAIRS for row in pair)
    fused = ablation.ROWS['k=3, M=6, log-sum-exp, squared OCLoss + GPR']
    assert fused == {'prompts.num_prompts': 3, 'prompts.context_length': 6, 'fusion': 'logsumexp',
                     'loss_oc.squared': True}


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
