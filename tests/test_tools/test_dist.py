"""Several processes without CUDA compute what one does."""
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from fixtures.dist import evaluate, launch, start, train, without_times
from fixtures.srun import write_commands
from mmengine.config import Config
from mmengine.runner.checkpoint import save_checkpoint
from mmseg.registry import MODELS

ROOT = Path(__file__).parents[2]
TOY = ROOT / 'configs/mvp_seg/toy_zs.py'
MASKCLIP = ROOT / 'configs/maskclip/toy_zs.py'
SEVEN_IMAGES = dict(test_dataloader__dataset__num_images=7, test_dataloader__batch_size=2)


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_twice_the_batch(tmp_path):
    """The same losses in every iteration and the same prompts after the last one.

    InfiniteSampler deals one permutation out to the ranks, so that 2 x 8 images are the 16 of one process. Their
    labelled pixels are not as many: the mean is over those of both.
    """
    options = dict(train_cfg__max_iters=5, train_cfg__val_interval=5, default_hooks__checkpoint__interval=5,
                   val_dataloader__dataset__num_images=4, optim_wrapper__optimizer__lr=0.2)
    one = train(TOY, 1, tmp_path / 'one', train_dataloader__batch_size=16, **options)
    two = train(TOY, 2, tmp_path / 'two', train_dataloader__batch_size=8, **options)
    assert sorted(one) == sorted(two) == [1, 2, 3, 4, 5]
    assert {'loss', 'decode.loss_seg', 'decode.loss_presence', 'decode.loss_oc'} <= one[1].keys()
    assert abs(one[5]['decode.logit_scale'] - one[1]['decode.logit_scale']) > 0.01, 'the steps are large enough to tell'
    for iteration, parts in one.items():
        assert two[iteration] == pytest.approx(parts, rel=1e-5, abs=1e-5), iteration
    weights = [torch.load(tmp_path / name / 'iter_5.pth', weights_only=True)['state_dict'] for name in ('one', 'two')]
    for name in ('decode_head.classifier.prompts.contexts', 'decode_head.log_scale', 'decode_head.gpr.log_temperature'):
        torch.testing.assert_close(weights[1][name], weights[0][name], rtol=0, atol=1e-5)


@pytest.fixture
def learned(mmseg_scope, tmp_path):
    """A checkpoint of other prompts than a run starts with."""
    torch.manual_seed(1)
    save_checkpoint(dict(state_dict=MODELS.build(Config.fromfile(TOY).model).state_dict(), meta={}),
                    str(tmp_path / 'learned.pth'))
    return tmp_path / 'learned.pth'


@pytest.mark.slow
def test_two_processes_test_as_one_does(tmp_path, learned):
    """An odd number of images: the sampler hands the first one to both processes, and it counts once."""
    one, two = (evaluate(TOY, learned, ranks, tmp_path / str(ranks), '--tta', **SEVEN_IMAGES) for ranks in (1, 2))
    assert one['hIoU'] > 1 and one == two


@pytest.mark.slow
def test_two_processes_test_a_model_that_learns_nothing(tmp_path):
    """DistributedDataParallel refuses MaskCLIP."""
    one, two = (evaluate(MASKCLIP, '', ranks, tmp_path / str(ranks), **SEVEN_IMAGES) for ranks in (1, 2))
    assert one['hIoU'] > 1 and one == two


@pytest.mark.slow
def test_two_processes_write_into_one_folder(tmp_path):
    out = launch('test', 2, TOY, '', '--out', 'maps', '--show-dir', 'pictures', cwd=tmp_path,
                 test_dataloader__dataset__num_images=3, test_dataloader__batch_size=1)
    names = [f'toy_test_{index:06d}.png' for index in range(3)]
    for folder in ('maps', 'pictures'):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
    assert out.count('2 processes compute on the CPU and communicate by gloo') == 1


@pytest.mark.slow
def test_one_process_that_fails_ends_the_run_with_its_sentence(tmp_path):
    done = start('train', 2, TOY, '--work-dir', 'work', cwd=tmp_path, train_dataloader__batch_size=2,
                 default_hooks__fail__type='fixtures.dist.FailingHook', default_hooks__fail__rank=1)
    assert done.returncode != 0
    assert done.stderr.count('error: image b.png is unreadable: copy it again.\n') == 1


@pytest.mark.slow
def test_slurm_starts_processes_that_learn_and_test_together(tmp_path):
    """With an srun of ours, on one machine: what it is asked for, and that the tasks find each other."""
    write_commands(tmp_path)
    small = dict(train_cfg__max_iters=2, train_dataloader__batch_size=2, val_dataloader__dataset__num_images=2)
    out = launch('train', 2, TOY, '--work-dir', 'work', cwd=tmp_path, launcher='slurm', **small)
    assert (tmp_path / 'srun.log').read_text().split() == [
        '-p', 'part', '--job-name=job', '--ntasks=2', '--ntasks-per-node=2', '--gres=gpu:2', '--cpus-per-task=5',
        '--kill-on-bad-exit=1', '--mem', '2G']
    assert out.count('2 processes compute on the CPU and communicate by gloo') == 1
    one = evaluate(TOY, 'work/iter_2.pth', 1, tmp_path / 'one', **SEVEN_IMAGES)
    launch('test', 2, TOY, 'work/iter_2.pth', '--work-dir', 'two', cwd=tmp_path, launcher='slurm', **SEVEN_IMAGES)
    path, = (tmp_path / 'two').glob('*/*.json')
    assert without_times(json.loads(path.read_text())) == one


@pytest.mark.slow
def test_slurm_ends_all_processes_when_one_fails(tmp_path):
    write_commands(tmp_path)
    done = start('train', 2, TOY, '--work-dir', 'work', cwd=tmp_path, launcher='slurm', train_dataloader__batch_size=2,
                 default_hooks__fail__type='fixtures.dist.FailingHook', default_hooks__fail__rank=0)
    assert done.returncode != 0 and 'error: image b.png is unreadable: copy it again.\n' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_shell_scripts_hand_their_arguments_on(tmp_path, script):
    """With torchrun and srun replaced by echo: the tool, the launcher and the user's arguments arrive, one each."""
    for command in ('torchrun', 'srun'):
        fake = tmp_path / command
        fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        fake.chmod(0o755)
    kind, name = script.removesuffix('.sh').split('_')
    head = ['part', 'job'] if kind == 'slurm' else []
    tail = ['config.py'] + ['model.pth'] * (name == 'test') + ['2'] * (kind == 'dist')
    done = subprocess.run(['bash', str(ROOT / 'tools' / script), *head, *tail, '--work-dir', 'a folder'], text=True,
                          env={'PATH': f'{tmp_path}:{Path(shutil.which("bash")).parent}'}, capture_output=True)
    words = done.stdout.splitlines()
    at = words.index(str(ROOT / 'tools' / f'{name}.py'))
    launcher = {'dist': 'pytorch', 'slurm': 'slurm'}[kind]
    learned = ['model.pth'] * (name == 'test')
    assert words[at + 1:] == ['config.py', *learned, '--launcher', launcher, '--work-dir', 'a folder']
    assert subprocess.run(['bash', str(ROOT / 'tools' / script)], capture_output=True).returncode == 2
