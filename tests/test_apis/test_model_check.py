"""Models mixed from parts: a mistake ends in one sentence with the line to write, and stock segmentors take names."""
from pathlib import Path

import mmseg
import pytest
import torch
from fixtures.builders import CONFIGS
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.model_check import check_clip_features, check_model, prepare_model
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import OpenVocabEncoderDecoder

pytestmark = pytest.mark.usefixtures('mmseg_scope')

CLIP = dict(model='toy-rn', weights='toy')
TEXT = dict(type='MultiPromptTextHead', clip=CLIP, in_channels=512, train_classes='toy')
FCN = dict(type='FCNHead', num_classes=20, in_channels=512, in_index=3, channels=16)
RESNET = dict(type='ResNetV1c', depth=18, num_stages=4, out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN'))
STOCK = Path(mmseg.__file__).parent / '.mim' / 'configs'


def stock(head, **kwargs):
    return dict(dict(type='EncoderDecoder', backbone=RESNET, decode_head=head, test_cfg=dict(mode='whole'),
                     data_preprocessor=dict(type='SegDataPreProcessor')), **kwargs)


@pytest.mark.parametrize('model, line', [
    (stock(dict(TEXT, prompt=dict(type='LearnedPrompts'))), "write 'prompts'"),
    (stock(dict(TEXT, num_prompts=3)), r"write prompts=dict\(type='LearnedPrompts', num_prompts=...\)"),
    (stock(dict(TEXT, prompts=dict(type='LearnedPrompts', num_prompt=3))), "prompts .* write 'num_prompts'"),
    (stock(dict(TEXT, gpr=True)), r'write gpr=dict\(type=...\)'),
    (stock(dict(TEXT, concat_input=True, num_convs=2)),
     r"'concat_input', 'num_convs': .*decode_head=dict\(_delete_=True, type='MultiPromptTextHead'"),
    (stock(dict(TEXT, _delete_=True)), 'remove it'),
    (stock(dict(FCN, gpr=dict(type='GPR'))), "write type='GPRFCNHead'"),
    (stock(dict(FCN, type='PSPHead', gpr=dict(type='GPR'))), r'class GPRPSPHead\(GPRHeadMixin, PSPHead\)'),
    (stock(dict(FCN, type='DepthwiseSeparableASPPHead', clip=CLIP)), "write type='TextDeepLabV3PlusHead'"),
    (stock(dict(FCN, loss_oc=dict(type='OCLoss'))), "write type='TextFCNHead'"),
    (stock(FCN, clip=CLIP), r'decode_head=dict\(clip=...\)'),
    (stock(FCN, auxiliary_head=[FCN, dict(FCN, chanels=3)]), r"auxiliary_head\[1\] \(FCNHead\) .* write 'channels'"),
    (stock(dict(TEXT, type='MultiPromtTextHead')), "write 'MultiPromptTextHead'"),
    (stock(FCN, backbone=dict(type='ClipImageEncoder', clip=CLIP)), "write 'CLIPImageEncoder'"),
    (stock([FCN, TEXT], type='CascadeEncoderDecoder', num_stages=2), 'the others as auxiliary_head'),
    (stock([TEXT], type='OpenVocabEncoderDecoder'), r'decode_head=dict\(...\) with the last one'),
    (stock(dict(clip=CLIP)), r'write decode_head=dict\(type=...\)')])
def test_a_mistake_in_a_config_names_the_line_to_write(model, line):
    with pytest.raises(UserError, match=line):
        check_model(model)


@pytest.mark.parametrize('head, line', [
    (dict(type='UPerHead', in_channels=[64] * 4, in_index=[0, 1, 2, 3]),
     r'out_indices=\(0, 1, 2\).*in_channels=\[64, 128, 256, 96\]'),
    (dict(type='FCNHead', in_channels=512, in_index=-1), 'write in_channels=96'),
    (dict(type='FCNHead', in_channels=96, in_index=1), r'out_indices=\(1,\).*in_channels=96')])
def test_heads_on_clip_are_told_its_feature_maps(head, line):
    backbone = dict(type='CLIPImageEncoder', clip=CLIP)
    with pytest.raises(UserError, match=line):
        check_clip_features(MODELS.build(stock(dict(head, num_classes=20, channels=16), backbone=backbone)))


def test_the_lines_for_heads_on_clip_are_right():
    backbone = dict(type='CLIPImageEncoder', clip=CLIP, out_indices=(0, 1, 2))
    head = dict(type='UPerHead', num_classes=20, channels=16, in_channels=[64, 128, 256, 96], in_index=[0, 1, 2, 3])
    model = MODELS.build(stock(head, backbone=backbone)).eval()
    check_clip_features(model)
    assert model(torch.zeros(1, 3, 64, 64)).shape[:2] == (1, 20)


def test_a_stock_segmentor_around_a_text_head_takes_other_names(tmp_path):
    torch.manual_seed(0)
    cfg = Config(dict(model=stock(TEXT), test_pipeline=[dict(type='PackSegInputs')]))
    original = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=original.state_dict(), meta=dict(cfg=cfg.pretty_text)), tmp_path / 'stock.pth')
    seg = OpenVocabInferencer(str(tmp_path / 'stock.pth'), device='cpu')
    image = torch.randint(0, 255, (64, 64, 3), dtype=torch.uint8).numpy()
    expected = original.test_step(dict(inputs=[torch.tensor(image).permute(2, 0, 1)], data_samples=None))[0]
    assert isinstance(seg.model, OpenVocabEncoderDecoder)
    assert (seg(image).label_map == expected.pred_sem_seg.data[0].numpy()).mean() > .999
    assert seg(image, classes='bird, rocket').classes == ('bird', 'rocket')


def test_only_text_heads_change_the_segmentor():
    cfg = Config(dict(model=stock(FCN)))
    assert prepare_model(cfg) == [] and cfg.model.type == 'EncoderDecoder'


@pytest.mark.slow
def test_configs_of_mmseg_and_ours_have_no_mistake():
    files = sorted([*STOCK.glob('*/*.py'), *CONFIGS.glob('*/*.py')])
    files = [file for file in files if file.parent.name not in ('_base_', 'maskformer', 'mask2former')][::8]
    models = [cfg.model for file in files if not file.read_text().startswith('from mmengine.config import read_base')
              for cfg in [Config.fromfile(file, import_custom_modules=False)] if cfg.get('model')]
    for model in models:
        check_model(model)
    assert len(models) > 75
