"""Each shipped LSeg config in the command line tools, with small data sets in the real file formats."""
import json
import runpy
import sys
from collections import OrderedDict

import pytest
import torch
from fixtures.end_to_end import ROOT
from fixtures.lseg import LEAVES, WRITERS, small
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.visualization import SegLocalVisualizer

SHORT = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 1,
         'default_hooks.logger.interval': 1, 'train_dataloader.batch_size': 2, 'optim_wrapper.optimizer.lr': 0.01}
# What differs, by the first word of the config: the mixed set draws an image of each of its five parts, the toy world
# has unseen classes, the paper's 1000 episodes would take long.
PAIRS = {f'{loader}_dataloader.dataset.episodes': 'all' for loader in ('val', 'test')}
MORE = {'mixed': {'train_dataloader.batch_size': 5}, 'pascal5i': PAIRS, 'coco20i': PAIRS}
FIGURES = {'toy': ('mIoU', 'mIoU_S', 'mIoU_U', 'hIoU', 'pAcc', 'pAcc_S', 'pAcc_U'),
           **dict.fromkeys(('pascal5i', 'coco20i', 'fss1000'), ('mIoU', 'FBIoU'))}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a tool as a user does, from the folder that holds ``data/``, in this process: a new one takes seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))  # seconds for line breaks
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads would only wait for so little work

    def run(tool, *arguments, **options):
        # Loggers and visualizers outlive their Runner and would write to its folder.
        for kind in (MMLogger, SegLocalVisualizer):
            monkeypatch.setattr(kind, '_instance_dict', OrderedDict())
        pairs = [f'{key}={value}' for key, value in options.items()]
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, arguments), '--cfg-options', *pairs])
        runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')

    yield run
    torch.set_num_threads(threads)


def read(folder, name):
    """Return the lines, as dicts, of the only log with this name below a folder."""
    path, = folder.glob(name)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize('config', LEAVES, ids=lambda path: path.stem)
def test_shipped_config_trains_and_tests(config, tmp_path, run, tiny_vit):
    kind = config.stem.split('_')[0]
    WRITERS[kind](tmp_path / 'data')
    options = {**small(config, tiny_vit['model']), **SHORT, **MORE.get(kind, {})}
    run('train', config, '--work-dir', 'work', **options)
    first, second, validated = read(tmp_path / 'work', '*/vis_data/scalars.json')
    scaling = Config.fromfile(config).get('auto_scale_lr')
    share = options['train_dataloader.batch_size'] / scaling.base_batch_size if scaling else 1
    assert first['lr'] == pytest.approx(0.01 * share)  # of the first parameter, which is in the backbone
    assert 0 < first['decode.loss_seg'] < 20 and 0 < second['decode.loss_seg'] < 20
    states = [torch.load(tmp_path / f'work/iter_{step}.pth', weights_only=True)['state_dict'] for step in (1, 2)]
    idle = ('attnpool.q_proj', 'attnpool.k_proj')  # dense features need no query and key of CLIP's tower
    learned = [key for key in states[0] if key.endswith(('weight', 'bias', 'pos_embed', 'cls_token'))
               and not any(part in key for part in idle)]
    assert [key for key in learned if torch.equal(states[0][key], states[1][key])] == []
    run('test', config, 'work/iter_2.pth', '--work-dir', 'test', **options)
    tested, = read(tmp_path / 'test', '*/*.json')
    for figures in (validated, tested):
        assert all(0 <= figures[name] <= 100 for name in FIGURES.get(kind, ('mIoU', 'pAcc')))
    if kind not in ('toy', 'fss1000'):  # these validate and test on different splits
        assert tested['mIoU'] == pytest.approx(validated['mIoU'])
