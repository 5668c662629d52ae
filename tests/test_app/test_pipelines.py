"""Test pipelines without masks and with test time augmentation."""
import copy

import pytest
from fixtures.builders import CONFIGS
from mmengine.config import Config

from mmseg_mvp.app.pipelines import omit_masks, use_tta
from mmseg_mvp.datasets.pipelines import without_mask_loading
from mmseg_mvp.errors import UserError

IMAGE, MASK, PACK = (dict(type=name) for name in ('LoadImageFromFile', 'mmseg.LoadAnnotations', 'PackSegInputs'))
FLIPS = [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)]
PIPELINE = [IMAGE, dict(type='Resize'), MASK, PACK]
MASKED, UNMASKED = dict(img_path='img', seg_map_path='ann'), dict(img_path='img')


def augmented(*steps: dict) -> list[dict]:
    return [dict(IMAGE, backend_args=None), dict(type='TestTimeAug', transforms=[FLIPS, *([step] for step in steps)])]


def config(pipeline=PIPELINE, prefix=MASKED, tta=None, **settings) -> Config:
    dataset = dict(type='BaseSegDataset', data_prefix=prefix, pipeline=copy.deepcopy(pipeline))
    return Config(dict(dict(
        model=dict(type='Model'), test_dataloader=dict(dataset=dataset), train_dataloader=dict(dataset=dataset),
        tta_model=dict(type='SegTTAModel'), tta_pipeline=augmented(MASK, PACK) if tta is None else tta), **settings))


@pytest.mark.parametrize('prefix', [UNMASKED, dict(UNMASKED, seg_map_path=None)])
def test_without_masks_none_is_loaded(prefix):
    cfg = config(prefix=prefix)
    omit_masks(cfg, ['test_dataloader'])
    assert cfg.test_dataloader.dataset.pipeline == [IMAGE, dict(type='Resize'), PACK]
    assert cfg.test_dataloader.dataset.data_prefix == UNMASKED


@pytest.mark.parametrize('prefix', [MASKED, dict(img_path='', seg_map_path=''), None])
def test_masks_are_loaded(prefix):
    cfg = config(prefix=prefix)
    omit_masks(cfg, ['train_dataloader', 'test_dataloader'])
    assert cfg.test_dataloader.dataset.pipeline == PIPELINE


def test_training_needs_masks():
    with pytest.raises(UserError, match=r'train_dataloader \(BaseSegDataset\) has no masks to train on: set data_'):
        omit_masks(config(prefix=UNMASKED), ['train_dataloader'])
    omit_masks(config([IMAGE, dict(type='HideEverything'), PACK], UNMASKED), ['train_dataloader'])


def test_augmented_pipelines_lose_the_group_of_masks():
    assert without_mask_loading(augmented(MASK, PACK)) == augmented(PACK)


def test_tta_wraps_the_model_and_replaces_each_pipeline():
    cfg = config()
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[copy.deepcopy(cfg.test_dataloader.dataset)] * 2)
    use_tta(cfg)
    assert cfg.model == dict(type='SegTTAModel', module=dict(type='Model'))
    first, second = (dataset.pipeline for dataset in cfg.test_dataloader.dataset.datasets)
    assert first == second == cfg.tta_pipeline and first[1].transforms is not cfg.tta_pipeline[1].transforms


def test_tta_without_masks():
    cfg = config(prefix=UNMASKED)
    use_tta(cfg)
    assert cfg.test_dataloader.dataset.pipeline == augmented(PACK)


@pytest.mark.parametrize('missing', [dict(tta_model=None), dict(tta_pipeline=None)])
def test_tta_needs_model_and_pipeline(missing):
    with pytest.raises(UserError, match=f'--tta needs {next(iter(missing))} in'):
        use_tta(config(**missing))


@pytest.mark.parametrize('pipeline, tta, words', [
    ([dict(type='DrawToyScene'), PACK], None, r'it has LoadImageFromFile\(\), LoadAnnotations\(\), but the pipeline of '
                                              r'BaseSegDataset has DrawToyScene\(\)'),
    (PIPELINE, augmented(dict(MASK, reduce_zero_label=True), PACK), r'LoadAnnotations\(reduce_zero_label=True\)'),
    (PIPELINE, augmented(PACK), r'has no other step, but the pipeline of BaseSegDataset has LoadAnnotations\(\)'),
    ([*PIPELINE[:3], dict(type='PackVocabulary', classes='voc20')], None, "has PackVocabulary.classes='voc20'"),
    ([*PIPELINE[:3], dict(type='PackVocabulary', classes='voc20')],
     augmented(MASK, dict(type='PackVocabulary', classes='ade20k')), "it has PackVocabulary.classes='ade20k'"),
    ([IMAGE, dict(type='LoadEpisodeAnnotations'), PACK], None, r'has LoadEpisodeAnnotations\(\)')])
def test_a_pipeline_of_another_data_set_is_refused(pipeline, tta, words):
    with pytest.raises(UserError, match=f'--tta: tta_pipeline is of another data set: .*{words}'):
        use_tta(config(pipeline, tta=tta))


@pytest.mark.slow
def test_shipped_pipelines_fit_their_data_sets():
    configs = [Config.fromfile(path) for path in sorted(CONFIGS.glob('*/*.py')) if path.parent.name != '_base_']
    configs = [cfg for cfg in configs if cfg.get('tta_pipeline') and cfg.get('test_dataloader')]
    for cfg in configs:
        use_tta(cfg)
    assert len(configs) > 30
