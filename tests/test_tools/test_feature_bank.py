"""Training from a feature bank by the tools: killed runs, two processes, full disks, and the same checkpoint."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from fixtures.forked import Job, run_jobs
from fixtures.tools import BENCHMARKS, load_tool
from mmengine.config import Config

kill_trials = load_tool('kill_trials.py', BENCHMARKS / 'reliability')
IMAGES, LAST = 12, 8  # checkpoints come every 4 iterations
FAULTY = '''_base_ = ['./mvp_seg.py']
import os
os.environ['FAULT'] = {fault!r}
custom_imports = dict(imports=['mmseg_mvp', 'fixtures.bank_faults'], allow_failed_imports=False)
'''
SMALL = dict(train_dataloader__dataset__num_images=IMAGES, feature_bank__augmentations=2,
             randomness__deterministic=True, train_cfg__val_interval=8)
KILL = {f'default_hooks__kill__{key}': value for key, value in dict(
    type='kill_trials.KillHook', place='rename', when=8).items()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """All runs, each with its folder ``NAME`` and its bank ``NAME bank``."""
    folder = tmp_path_factory.mktemp('runs')
    config = kill_trials.write_config('MVP-SEG', folder, folder, LAST)
    plain = folder / 'plain.py'  # no augmentation, as the crops of a bank are others than online
    plain.write_text("_base_ = ['./mvp_seg.py']\ntrain_dataloader = dict(dataset=dict(pipeline=[\n"
                     "    dict(type='DrawToyScene'), dict(type='PackSegInputs')]))\n")
    for fault in ('kill', 'full'):
        (folder / f'{fault}.py').write_text(FAULTY.format(fault=fault))

    def job(name, config=config, flags=(), ranks=1, bank=None, **options):
        return Job('train', [str(config), '--work-dir', name, '--feature-bank', bank or f'{name} bank', *flags],
                   {**SMALL, **options}, ranks)

    def tested(name, bank='bank of tests', ranks=1):
        flags = ['--feature-bank', bank] if bank else []
        return Job('test', [str(plain), f'one/iter_{LAST}.pth', '--work-dir', name, *flags, '--record', f'{name}.json'],
                   dict(test_dataloader__dataset__num_images=6), ranks)

    jobs = [job('one'),
            job('killed', folder / 'kill.py'), job('killed'),
            job('resumed', **KILL), job('resumed', flags=['--resume']),
            job('two', ranks=2, train_dataloader__batch_size=2),
            job('full', folder / 'full.py'),
            job('float32', plain, feature_bank__precision='float32'),
            Job('train', [str(plain), '--work-dir', 'online'], {
                key: value for key, value in SMALL.items() if not key.startswith('feature_bank')}),
            job('foreign', plain, bank='one bank'),
            tested('first', ranks=2), tested('again'), tested('without', bank=False), tested('training', 'one bank')]
    (folder / 'output').write_text(run_jobs(jobs, folder))
    assert [job.status for job in jobs] == [[0], [-9], [0], [-9], [0], [0, 0], [2], [0], [0], [2],
                                       [0, 0], [0], [0], [2]], (
        folder / 'output').read_text()[-3000:]
    return folder


def stored(bank: Path) -> dict[str, bytes]:
    """Contents of the files of the images."""
    return {path.name: path.read_bytes() for path in sorted(bank.glob('0*.npy'))}


@pytest.mark.slow
def test_a_bank_whose_builder_was_killed_is_finished(folder):
    assert len(stored(folder / 'one bank')) == IMAGES
    assert stored(folder / 'one bank') == stored(folder / 'killed bank')
    output = (folder / 'output').read_text()
    assert f'{IMAGES} of {IMAGES} images x 2' in output and f'{IMAGES - 5} of {IMAGES} images x 2' in output
    assert set(kill_trials.compare(folder / 'one', folder / 'killed').values()) == {True}


@pytest.mark.slow
def test_a_killed_training_ends_as_if_nothing_had_happened(folder):
    logs = ''.join(path.read_text() for path in (folder / 'resumed').glob('*/*.log'))
    assert re.findall(r'resumed epoch: 0, iter: (\d+)', logs) == ['4']
    assert set(kill_trials.compare(folder / 'one', folder / 'resumed').values()) == {True}


@pytest.mark.slow
def test_two_processes_build_and_train_as_one(folder):
    assert stored(folder / 'two bank') == stored(folder / 'one bank')
    one, two = (torch.load(folder / name / f'iter_{LAST}.pth', weights_only=True)['state_dict']
                for name in ('one', 'two'))
    for name in ('decode_head.classifier.prompts.contexts', 'decode_head.log_scale'):
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_finished_images_are_kept(folder):
    sentence = re.search('^error: (.*full bank.*)$', (folder / 'output').read_text(), re.MULTILINE)[1]
    assert re.fullmatch(r"full bank/00000005.npy can't be written \(File too large\): free disk space .*", sentence)
    expected = stored(folder / 'one bank')
    assert stored(folder / 'full bank') == {name: expected[name] for name in list(expected)[:5]}


@pytest.mark.slow
def test_losses_are_those_of_a_training_on_images(folder):
    """Every scene gives one crop, so that the bank has what the images have."""
    online, bank = (kill_trials.losses(folder / name) for name in ('online', 'float32'))
    assert list(online) == list(bank) == list(range(1, LAST + 1))
    for iteration, values in online.items():
        assert bank[iteration] == pytest.approx(values, rel=1e-4, abs=1e-6), iteration


@pytest.mark.slow
def test_the_checkpoint_is_that_of_a_training_on_images(folder):
    online, bank = (torch.load(folder / name / f'iter_{LAST}.pth', weights_only=True) for name in ('online', 'float32'))
    assert online['state_dict'].keys() == bank['state_dict'].keys()
    configs = [Config.fromstring(one['meta']['cfg'], '.py') for one in (online, bank)]
    bank_of_config = configs[1].pop('feature_bank')
    assert bank_of_config == dict(dir='float32 bank', augmentations=2, precision='float32')
    assert dict(configs[0], work_dir='') == dict(configs[1], work_dir='')
    shutil.rmtree(folder / 'float32 bank')
    (folder / 'later').mkdir()
    test = Job('test', ['../plain.py', f'../float32/iter_{LAST}.pth', '--work-dir', 'test'],
               dict(test_dataloader__dataset__num_images=4))
    output = run_jobs([test], folder / 'later')
    assert test.status == [0] and 'hIoU' in output


@pytest.mark.slow
def test_a_foreign_bank_is_refused_by_what_differs(folder):
    sentence = re.search('^error: (The feature bank one bank .*)$', (folder / 'output').read_text(), re.MULTILINE)[1]
    assert 'its train_dataloader.dataset.pipeline[1]' in sentence and os.listdir(folder / 'one bank')


@pytest.mark.slow
def test_repeated_tests_read_what_two_processes_stored(folder):
    """The tiny model scores 6 images; half precision may move a few of their pixels."""
    first, again, without = (json.loads((folder / f'{name}.json').read_text())['metrics']
                             for name in ('first', 'again', 'without'))
    assert first == again == pytest.approx(without, abs=0.5)
    assert len(list((folder / 'bank of tests').glob('*/*.safetensors'))) == 6
    output = (folder / 'output').read_text()
    assert 'bank of tests gave 6 and took in 0 images' in output
    assert 'error: one bank is a feature bank, but the run needs a feature bank of tests' in output
