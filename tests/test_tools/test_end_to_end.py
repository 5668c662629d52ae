"""Every shipped real-data config through the command line tools, on small data sets in the real file formats."""
import re

import pytest
import torch
from fixtures import trees
from fixtures.end_to_end import ROOT, SMALL, WRITERS, losses, run, settings


@pytest.mark.slow
@pytest.mark.parametrize('name', WRITERS)
def test_shipped_config_trains_and_tests_on_its_tree(name, tmp_path, tiny_rn):
    WRITERS[name](tmp_path / 'data')
    options = settings(tiny_rn)
    out = run('train', ROOT / f'configs/mvp_seg/{name}_zs.py', '--work-dir', 'work', *options, cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out) and 'eta:' in out
    for part in ('loss_seg', 'loss_presence', 'loss_oc', 'logit_scale', 'temperature', 'prompt_cosine'):
        assert f'decode.{part}: ' in out
    checkpoint = tmp_path / 'work' / 'iter_2.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert checkpoint.stat().st_size < 2e6
    assert set(state) == {'decode_head.classifier.prompts.contexts', 'decode_head.log_scale',
                          'decode_head.gpr.log_temperature',
                          'decode_head.classifier._extra_state'}
    out = run('test', ROOT / f'configs/mvp_seg/{name}_zs.py', checkpoint, '--work-dir', 'test', '--show-dir',
              'pictures', *options, cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out)
    assert list((tmp_path / 'pictures').rglob('*.png'))


@pytest.mark.slow
def test_maskclip_needs_no_checkpoint_and_prompts_cross_data_sets(tmp_path, tiny_rn):
    trees.write_voc(tmp_path / 'data')
    trees.write_context(tmp_path / 'data')
    templates = ['model.decode_head.prompts.templates=single']
    work = ['--work-dir', 'maskclip']
    options = [one for one in SMALL if one.split('.')[0] in ('val_dataloader', 'test_dataloader')]
    for flags in ([], ['--tta']):
        out = run('test', ROOT / 'configs/maskclip/voc_zs.py', *flags, *work, '--cfg-options', *options, *templates,
                  f'model.clip.model={tiny_rn["model"]}', 'model.clip.weights=None', cwd=tmp_path)
        assert re.search(r'hIoU: \d+\.\d\d', out)
    run('train', ROOT / 'configs/mvp_seg/voc_zs.py', '--work-dir', 'voc', *settings(tiny_rn), cwd=tmp_path)
    out = run('test', ROOT / 'configs/mvp_seg/context_zs.py', 'voc/iter_2.pth', *settings(tiny_rn),
              cwd=tmp_path)
    assert '59 classes' in out and re.search(r'hIoU: \d+\.\d\d', out)


@pytest.mark.slow
def test_resume_continues_exactly(tmp_path, tiny_rn):
    trees.write_voc(tmp_path / 'data')
    config = ROOT / 'configs/mvp_seg/voc_zs.py'
    whole = settings(tiny_rn, ['train_cfg.max_iters=4', 'train_cfg.val_interval=4'])
    run('train', config, '--work-dir', 'whole', *whole, cwd=tmp_path)
    out = run('train', config, '--work-dir', 'parts', '--resume', 'whole/iter_2.pth', *whole, cwd=tmp_path)
    assert 'resumed epoch' in out
    expected, resumed = losses(tmp_path / 'whole'), losses(tmp_path / 'parts')
    assert sorted(expected) == [1, 2, 3, 4] and sorted(resumed) == [3, 4]
    for iteration, parts in resumed.items():
        assert parts == pytest.approx(expected[iteration], rel=1e-5), iteration
    last = [torch.load(tmp_path / one / 'iter_4.pth', weights_only=True)['state_dict'] for one in ('whole', 'parts')]
    assert all(torch.allclose(last[0][key].float(), last[1][key].float(), atol=1e-7) for key in last[0])
