"""A killed run ends as if nothing had happened; equal seeds give equal runs; a full disk spoils no earlier one."""
import re

import pytest
from fixtures.forked import Job, run_jobs
from fixtures.tools import BENCHMARKS, load_tool

from mmseg_mvp.engine.atomic_checkpoint_hook import is_complete

kill_trials = load_tool('kill_trials.py', BENCHMARKS / 'reliability')
LAST = 12  # iteration; checkpoints come every 4, images are augmented at random
# Where a run of the method dies at its second checkpoint, and where it goes on.
DEATHS = {'MVP-SEG': ('write', 4), 'MVP-SEG+': ('rename', 4), 'LSeg': ('pointer', 8)}
DETERMINISTIC = dict(randomness__deterministic=True, train_cfg__val_interval=9)


def killed_at(place, iteration):
    """Options that have a run die."""
    kill = dict(type='kill_trials.KillHook', place=place, when=iteration)
    return {f'default_hooks__kill__{key}': value for key, value in kill.items()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Of each method: two equal runs, a killed one and its end; and runs with another seed and with a full disk."""
    folder = tmp_path_factory.mktemp('runs')
    jobs = []
    for method, (place, _) in DEATHS.items():
        config = kill_trials.write_config(method, folder, folder / 'MVP-SEG' / f'iter_{LAST}.pth', LAST)
        for name, flags, options in (('', [], {}), (' again', [], {}), (' killed', [], killed_at(place, 8)),
                                     (' killed', ['--resume'], {})):
            jobs.append(Job('train', [config, '--work-dir', method + name, *flags], {**DETERMINISTIC, **options}))
    jobs += [Job('train', [config, '--work-dir', 'other seed'], dict(randomness__seed=1)),
             Job('train', [config, '--work-dir', 'full disk'], dict(
                 default_hooks__full__type='fixtures.full_disk.FullDiskHook', default_hooks__full__iteration=6))]
    (folder / 'output').write_text(run_jobs(jobs, folder))
    assert [job.status for job in jobs] == [[0], [0], [-9], [0]] * 3 + [[0], [2]]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('method', DEATHS)
def test_equal_seeds_give_equal_runs(folder, method):
    assert set(kill_trials.compare(folder / method, folder / f'{method} again').values()) == {True}
    logged = [line['loss'] for line in kill_trials.losses(folder / method).values()]
    assert len(set(logged)) == LAST


@pytest.mark.slow
@pytest.mark.parametrize('method', DEATHS)
def test_a_killed_run_ends_as_if_nothing_had_happened(folder, method):
    killed = folder / f'{method} killed'
    logs = [path.read_text() for path in sorted(killed.glob('*/*.log'))]
    starts = re.findall(r'resumed epoch: 0, iter: (\d+)', ''.join(logs))
    assert starts == [str(DEATHS[method][1])]
    assert set(kill_trials.compare(folder / method, killed).values()) == {True}
    assert not list(killed.glob('.*.part.pth')), 'what was half written has been overwritten'


@pytest.mark.slow
def test_the_seed_makes_the_run(folder):
    common = kill_trials.compare(folder / 'LSeg', folder / 'other seed')
    assert common == dict(losses=False, weights=False, optimizer=False, schedule=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_with_a_sentence_and_spoils_no_earlier_checkpoint(folder):
    sentence, = re.findall('^error: (.*)$', (folder / 'output').read_text(), re.MULTILINE)
    assert re.fullmatch(r".*/full disk/iter_8.pth can't be written \(File too large\): free disk space, .*",
                        sentence)
    assert [path.name for path in (folder / 'full disk').iterdir() if path.suffix == '.pth'] == [
        'iter_4.pth']
    assert is_complete(folder / 'full disk' / 'iter_4.pth')
    assert (folder / 'full disk' / 'last_checkpoint').read_text().endswith('iter_4.pth')
