"""MVP-SEG+ in the command line tools: each shipped config, and resuming in both phases."""
import re

import pytest
import torch
from fixtures import trees
from fixtures.dist import train
from fixtures.end_to_end import ROOT, SMALL, WRITERS, losses, run
from mmengine.config import Config
from mmengine.runner.checkpoint import save_checkpoint
from mmseg.registry import MODELS

import mmseg_mvp  # noqa: F401

pytestmark = pytest.mark.usefixtures('mmseg_scope')

STEMS = dict(voc_zs='voc', voc_unlabelled='voc', context_zs='context', context60_zs='context', ade20k_zs='ade20k',
             coco_stuff_zs='coco_stuff')


def settings(name, tiny_rn, folder, more=()):
    """Return the options that reduce a shipped config to a tiny CLIP, a tiny student and few iterations."""
    cfg = Config.fromfile(ROOT / 'configs' / 'mvp_seg_plus' / f'{name}.py')
    options = [f'model.teacher.clip.model={tiny_rn["model"]}', 'model.teacher.clip.weights=None',
               'model.backbone.depth=18', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8',
               'model.backbone.init_cfg=None', 'model.decode_head.in_channels=64',
               'model.decode_head.channels=16', *SMALL]
    if 'c1_channels' in cfg.model.decode_head:
        options += ['model.decode_head.c1_in_channels=8', 'model.decode_head.c1_channels=4']
    if cfg.model.teacher.decode_head.prompts.type == 'LearnedPrompts':
        options.append(f'model.teacher_checkpoint={write_teacher(cfg.model.teacher, tiny_rn, folder)}')
    return ['--cfg-options', *options, *more]


def write_teacher(teacher, tiny_rn, folder):
    """Write a checkpoint as tools/train.py does, with untrained prompts."""
    teacher.clip = dict(model=tiny_rn['model'], weights=None)
    path = folder / 'teacher.pth'
    save_checkpoint(dict(state_dict=MODELS.build(teacher).state_dict()), str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize('name', STEMS)
def test_shipped_config_trains_and_tests_on_its_tree(name, tmp_path, tiny_rn):
    WRITERS[STEMS[name]](tmp_path / 'data', train=6)  # any four of them have a pixel of an unseen class
    options = settings(name, tiny_rn, tmp_path)
    config = ROOT / f'configs/mvp_seg_plus/{name}.py'
    out = run('train', config, *options, cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out)
    for part in ('decode.loss_seg', 'decode.acc_seg', 'phase', 'pseudo_share', 'pseudo_confidence'):
        assert f'{part}: ' in out
    assert ('pseudo_acc: ' in out) == (name != 'voc_unlabelled')  # without masks nobody knows the truth
    work_dir = tmp_path / 'work_dirs' / 'mvp_seg_plus' / name
    state = torch.load(work_dir / 'iter_2.pth', weights_only=True)['state_dict']
    assert not any('teacher' in key or 'token' in key for key in state)
    out = run('test', config, work_dir / 'iter_2.pth', '--show-dir', 'pictures', *options, cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out) and list((tmp_path / 'pictures').rglob('*.png'))


@pytest.mark.slow
@pytest.mark.parametrize('start, phases', [(1, {2: 1, 3: 1, 4: 2, 5: 2, 6: 2}), (4, {5: 2, 6: 2})])
def test_resume_from_the_middle_of_a_phase_repeats_the_losses(start, phases, tmp_path, tiny_rn):
    trees.write_voc(tmp_path / 'data')
    config = ROOT / 'configs/mvp_seg_plus/voc_zs.py'
    options = settings('voc_zs', tiny_rn, tmp_path, ['train_cfg.max_iters=6', 'train_cfg.val_interval=2',
                                                     'model.teacher_share=0.5'])
    run('train', config, '--work-dir', 'whole', *options, cwd=tmp_path)
    run('train', config, '--work-dir', 'parts', '--resume', f'whole/iter_{start}.pth', *options, cwd=tmp_path)
    expected, resumed = (losses(tmp_path / one, ('loss', 'phase', 'pseudo')) for one in ('whole', 'parts'))
    assert {iteration: parts['phase'] for iteration, parts in resumed.items()} == phases
    for iteration, parts in resumed.items():
        assert parts == pytest.approx(expected[iteration], rel=1e-5), iteration


@pytest.mark.slow
def test_toy_configs_learn_and_other_names_can_be_set(tmp_path):
    short = ['--cfg-options', 'train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'train_dataloader.batch_size=4',
             'val_dataloader.dataset.num_images=8', 'default_hooks.logger.interval=1']
    run('train', ROOT / 'configs/mvp_seg/toy_zs.py', '--work-dir', 'teacher', *short, cwd=tmp_path)
    checkpoint = (tmp_path / 'teacher' / 'last_checkpoint').read_text()
    out = run('train', ROOT / 'configs/mvp_seg_plus/toy_zs.py', *short, f'model.teacher_checkpoint={checkpoint}',
              'model.teacher_share=0.5', cwd=tmp_path)
    assert 'phase: 1.0000' in out and 'phase: 2.0000' in out
    out = run('train', ROOT / 'configs/mvp_seg_plus/toy_unlabelled.py', *short, cwd=tmp_path)
    assert 'pseudo_share: 1.0000' in out and re.search(r'hIoU: \d+\.\d\d', out)
    cfg = Config.fromfile(ROOT / 'configs/mvp_seg_plus/toy_zs.py')
    model = MODELS.build(cfg.model).eval()
    work_dir = tmp_path / 'work_dirs' / 'mvp_seg_plus' / 'toy_zs'
    state = torch.load(work_dir / 'iter_4.pth', weights_only=True)['state_dict']
    model.load_state_dict(state)
    model.set_classes(['red house', 'boat'])
    assert set(model.predict(torch.randn(1, 3, 64, 64))[0].pred_sem_seg.data.unique().tolist()) <= {0, 1}


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_whole_batch(tmp_path):
    # Every pixel gets a label, so that the mean over processes is the mean over the batch; norms don't look across
    # images, and nothing is dropped.
    options = dict(
        model__teacher_share=0.5, model__backbone__frozen=True, model__decode_head__dropout_ratio=0.,
        model__decode_head__norm_cfg__type='GN', model__decode_head__norm_cfg__num_groups=8, train_cfg__max_iters=5,
        train_cfg__val_interval=5, val_dataloader__dataset__num_images=8)
    config = ROOT / 'configs/mvp_seg_plus/toy_unlabelled.py'
    one = train(config, 1, tmp_path / 'one', train_dataloader__batch_size=8, **options)
    two = train(config, 2, tmp_path / 'two', train_dataloader__batch_size=4, **options)
    assert [one[iteration]['phase'] for iteration in range(1, 6)] == [1, 1, 1, 2, 2]
    for iteration in range(1, 6):
        for logs in (one[iteration], two[iteration]):
            logs.pop('pseudo_acc')  # a mean over the pixels whose truth is known, of which the two have not the same
        assert two[iteration] == pytest.approx(one[iteration], rel=1e-5, abs=1e-5), iteration
