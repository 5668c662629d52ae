"""Choice of a threshold: the curve of one pass is that of a test for each threshold."""
import numpy as np
import pytest
import torch
from fixtures.builders import CONFIGS
from fixtures.refusals import refused
from fixtures.trees import write_voc
from mmengine.config import Config
from mmseg.registry import DATASETS, METRICS, MODELS

from mmseg_mvp.apis.threshold import THRESHOLDS, choose_threshold

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def cfg(tiny_vit, tmp_path):
    """SCLIP on VOC21 with a tiny CLIP, small images and one sentence."""
    cfg = Config.fromfile(CONFIGS / 'training_free' / 'voc21_sclip.py')
    cfg.model.clip, cfg.model.decode_head.prompts.templates = tiny_vit, 'name'
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(32, 32))
    root = write_voc(tmp_path, train=3, aug=0, val=1)
    for loader in (cfg.choose_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0)
        loader.dataset.data_root = str(root)
        loader.dataset.pipeline[1].scale = (128, 96)
    return cfg


@pytest.mark.parametrize('area_thd', [None, 0.1])
def test_each_point_is_the_result_of_a_test(cfg, area_thd):
    cfg.model.test_cfg.area_thd = area_thd
    model = MODELS.build(cfg.model).eval()
    curve = choose_threshold(model, cfg, 2)
    dataset = DATASETS.build(cfg.choose_dataloader.dataset)
    assert curve.images == 2 and len(dataset) == 3
    expected = []
    for thd in THRESHOLDS[::9].tolist():
        model.test_cfg.prob_thd = thd
        metric = METRICS.build(cfg.test_evaluator)
        metric.dataset_meta = dataset.metainfo
        for item in (dataset[0], dataset[2]):
            with torch.no_grad():
                sample, = model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
            metric.process({}, [sample.to_dict()])
        expected.append(metric.evaluate(2)['mIoU'])
    np.testing.assert_allclose(curve.miou[::9], expected, atol=0.02)
    assert len({round(value, 3) for value in expected}) > 2
    best = curve.best
    assert curve.miou[round(best * 100)] == curve.miou.max() and f'{best:.2f}' in str(curve)


def test_what_has_no_threshold(cfg):
    model = MODELS.build(cfg.model).eval()
    for images in (0, -3, 1.5):
        refused(lambda: choose_threshold(model, cfg, images), '--images', repr(images))
    loader = cfg.pop('choose_dataloader')
    refused(lambda: choose_threshold(model, cfg, 1), 'choose_dataloader', 'training images')
    cfg.choose_dataloader, model.test_cfg.prob_thd = loader, None
    refused(lambda: choose_threshold(model, cfg, 1), 'prob_thd', 'bg_idx')
