"""One, two and four processes learn and score alike, by every method, with the same total batch."""
import json

import pytest
from fixtures.forked import ROOT, Job, run_jobs
from fixtures.lanes import LATE_WORKERS
from fixtures.tools import BENCHMARKS, load_tool

kill_trials = load_tool('kill_trials.py', BENCHMARKS / 'reliability')
RANKS, BATCH, LAST = (1, 2, 4), 8, 4
GN = dict(model__decode_head__norm_cfg__type='GN', model__decode_head__norm_cfg__num_groups=8)
# BatchNorm looks at the images of one process and dropout draws anew in each, so both are left out.
APART = {'MVP-SEG': {}, 'LSeg': dict(model__backbone__frozen=True, optim_wrapper__optimizer__lr=0.01, **GN),
         'MVP-SEG+': dict(model__backbone__frozen=True, model__decode_head__dropout_ratio=0., **GN)}
SHORT = dict(default_hooks__mean_over_ranks__type='fixtures.dist.MeanOverRanksHook', train_cfg__val_interval=LAST,
             default_hooks__checkpoint__interval=LAST)
# Neither two nor four divide 31; a process takes two at a time. In so many pictures, each class occurs.
ODD = dict(test_dataloader__dataset__num_images=31, test_dataloader__batch_size=2)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Of each method and number of processes a training, and a test of what the first one learned."""
    folder = tmp_path_factory.mktemp('runs')
    teacher = folder / 'train MVP-SEG 1' / f'iter_{LAST}.pth'
    jobs = []
    for method in kill_trials.METHODS:
        config = kill_trials.write_config(method, folder, teacher, LAST)
        for ranks in RANKS:
            options = dict(SHORT, train_dataloader__batch_size=BATCH // ranks, **APART[method])
            jobs.append(Job('train', [config, '--work-dir', f'train {method} {ranks}'], options, ranks))
        checkpoint = f'train {method} 1/iter_{LAST}.pth'
        jobs += [Job('test', [config, checkpoint, '--work-dir', f'test {method} {ranks}'], dict(ODD, **APART[method]),
                     ranks) for ranks in RANKS]
        # As shipped, with everything that is trained: no parameter may be left without a gradient.
        jobs.append(Job('train', [config, '--work-dir', f'shipped {method}'], dict(train_cfg__max_iters=2), 2))
    output = run_jobs(jobs, folder)
    assert all(status == 0 for job in jobs for status in job.status), output[-5000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('method', [
    method if method == 'MVP-SEG' else pytest.param(method, marks=LATE_WORKERS) for method in APART])
def test_losses_are_the_same(folder, method):
    """The mean over processes, as DistributedDataParallel's gradients; images are augmented at random, and labelled
    pixels are not the same number in all processes."""
    one, *others = [kill_trials.losses(folder / f'train {method} {ranks}') for ranks in RANKS]
    assert sorted(one) == list(range(1, LAST + 1))
    for other in others:
        for iteration, parts in one.items():
            expected = {name: value for name, value in parts.items() if 'loss' in name}
            assert {name: other[iteration][name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('method', APART)
def test_figures_are_the_same(folder, method):
    figures = []
    for ranks in RANKS:
        path, = (folder / f'test {method} {ranks}').glob('*/*.json')
        figures.append({key: value for key, value in json.loads(path.read_text()).items() if 'time' not in key})
    assert figures[0] == figures[1] == figures[2] and figures[0]['pAcc'] > 0


def test_no_config_asks_for_unused_parameters():
    """Which DistributedDataParallel would look for in every iteration, and which would hide a defect."""
    assert not [path for path in (ROOT / 'configs').rglob('*.py') if 'find_unused_parameters' in path.read_text()]
