"""Names of methods: MaskCLIP with one sentence is not MaskCLIP with 85."""
import pytest
from fixtures.builders import CONFIGS

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.utils.config import read_config

TOY = dict(model='toy-rn', weights='toy')


def method(config=None, **options):
    if config is None:
        return OpenVocabInferencer(device='cpu', **options).method
    cfg = read_config(str(CONFIGS / f'{config}.py'))
    cfg.merge_from_dict(options)
    return OpenVocabInferencer(cfg, device='cpu').method


def test_without_a_config_there_is_one_sentence():
    assert method(clip=TOY) == 'MaskCLIP with one sentence per name'
    assert method(clip=dict(TOY, model='toy-vit')) == 'NACLIP with one sentence per name'


@pytest.mark.parametrize('options, name', [
    ({}, 'MaskCLIP with 85 sentences per name'),
    ({'model.backbone.dense': 'kk'}, "MaskCLIP, dense features 'kk' with 85 sentences per name"),
    ({'model.clip.model': 'toy-vit', 'model.backbone.dense': 'auto'}, 'NACLIP with 85 sentences per name'),
    ({'model.clip.model': 'toy-vit', 'model.backbone.dense': dict(type='sclip', residual=False)},
     'SCLIP (settings changed) with 85 sentences per name'),
    ({'model.decode_head.prompts.templates': 'imagenet'}, 'MaskCLIP with 80 sentences per name')])
def test_configs_name_their_sentences_and_features(options, name):
    assert method('maskclip/toy_zs', **options) == name


def test_learned_prompts_and_other_heads():
    assert method('mvp_seg/toy_zs') == 'MVP-SEG with 3 learned prompts'
    assert method('mvp_seg/toy_zs', **{'model.decode_head.prompts.num_prompts': 1}) == 'MVP-SEG with 1 learned prompt'
    assert method('lseg/toy_zs') == 'LSeg with one sentence per name'
