"""A CLIP with a tokenizer of its own through the tools: training, test, segmentation, and its prompts as a file."""
import re

import numpy as np
import pytest
import torch
from fixtures import trees
from fixtures.end_to_end import ROOT, SMALL, run, settings
from fixtures.lanes import WORLDWIDE
from fixtures.own_tokens import write_clip
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer, from_pretrained, save_prompts

NAMES = ['traffic light', 'cat', 'sky']


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['siglip2', pytest.param('xlm-v', marks=WORLDWIDE)])
def test_from_training_to_pictures(kind, tmp_path):
    clip = write_clip(tmp_path / 'clip', kind)
    trees.write_voc(tmp_path / 'data')
    out = run('train', ROOT / 'configs/mvp_seg/voc_zs.py', '--work-dir', 'work', *settings(clip), cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out) and 'decode.loss_presence: ' in out
    single = ['--cfg-options', *(one for one in SMALL if one.startswith(('val_', 'test_'))),
              f'model.clip.model={clip["model"]}', 'model.clip.weights=None',
              'model.decode_head.prompts.templates=single']
    out = run('test', ROOT / 'configs/maskclip/voc_zs.py', '--work-dir', 'maskclip', *single, cwd=tmp_path)
    assert re.search(r'hIoU: \d+\.\d\d', out)

    checkpoint, photo = tmp_path / 'work' / 'iter_2.pth', next((tmp_path / 'data').rglob('*.jpg'))
    run('segment', photo, '--classes', ', '.join(NAMES), '--checkpoint', checkpoint, '--masks', '--device', 'cpu',
        '--out-dir', 'segmented', cwd=tmp_path)
    mask = np.array(Image.open(tmp_path / 'segmented' / f'{photo.stem}_mask.png'))
    seg = OpenVocabInferencer(weights=checkpoint, device='cpu')
    assert mask.shape == np.array(Image.open(photo)).shape[:2] and (seg(str(photo), NAMES).label_map == mask).all()

    save_prompts(seg.model, tmp_path / 'prompts.safetensors')
    built = from_pretrained(tmp_path / 'prompts.safetensors', NAMES, clip=clip)
    assert torch.equal(built.decode_head.class_weights(), seg.model.decode_head.class_weights())
