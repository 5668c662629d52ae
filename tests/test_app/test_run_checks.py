"""Settings of a run that mmengine takes, but that end in a traceback or never."""
import pytest
from fixtures.builders import CONFIGS
from mmengine.config import Config

from mmseg_mvp.app.run_checks import check_run
from mmseg_mvp.errors import UserError

ITERS = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
EPOCHS = dict(by_epoch=True, max_epochs=2)
LOADERS = ('train_dataloader', 'val_dataloader')
NORMALIZED = dict(dataset=dict(pipeline=[dict(type='Normalize', mean=[1], std=[1])]))
CLIP = dict(type='CLIPEncoderDecoder', data_preprocessor=dict(size=(64, 64)))
POLY = dict(type='PolyLR', by_epoch=False)
pytestmark = pytest.mark.usefixtures('mmseg_scope')


def check(train_cfg=ITERS, sampler='InfiniteSampler', val_sampler='DefaultSampler', loader=None, **settings) -> None:
    check_run(Config(dict(
        train_cfg=train_cfg,
        train_dataloader=dict(dict(batch_size=2, num_workers=0, sampler=dict(type=sampler)), **(loader or {})),
        val_dataloader=dict(batch_size=1, sampler=dict(type=val_sampler)), **settings)), LOADERS)


@pytest.mark.slow
def test_shipped_configs_pass():
    for path in sorted(CONFIGS.glob('*/*.py')):
        if path.parent.name != '_base_':
            cfg = Config.fromfile(path)
            check_run(cfg, [name for name in (*LOADERS, 'test_dataloader') if cfg.get(name)])


@pytest.mark.parametrize('settings', [
    {}, dict(train_cfg=dict(by_epoch=False, max_iters=20.)), dict(train_cfg=EPOCHS, sampler='DefaultSampler'),
    dict(train_cfg=dict(type='MyLoop', anything=1)), dict(param_scheduler=None), dict(param_scheduler=POLY),
    dict(param_scheduler=[POLY, dict(type='ReduceOnPlateauLR')]), dict(param_scheduler=dict(first=[POLY])),
    dict(train_cfg=EPOCHS, sampler='DefaultSampler', param_scheduler=dict(type='PolyLR')),
    dict(model_2={}, crop_size=(64, 64), optim_wrapper=dict(constructor='Own', paramwise_cfg=dict(layers=3))),
    dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False), timer=None)),
    dict(train_cfg=EPOCHS, sampler='DefaultSampler', default_hooks=dict(checkpoint=dict(type='CheckpointHook'))),
    dict(loader=dict(num_workers=2, persistent_workers=True)),
    dict(default_hooks=None, custom_hooks=None, log_level=10),
    dict(loader=NORMALIZED, model=dict(type='EncoderDecoder')),
    dict(val_evaluator=[dict(type='ZeroShotIoUMetric', unseen='toy:unseen', ignore_index=0, prefix='a')]),
    dict(optim_wrapper=dict(constructor='A', a=dict(optimizer=dict(type='AdamW'), clip_grad=dict(max_norm=1)))),
    dict(optim_wrapper=dict(optimizer=dict(type='torch.optim.SGD'), clip_grad=dict(type='value', clip_value=1)))])
def test_sound_settings_pass(settings):
    check(**settings)


@pytest.mark.parametrize('settings, words', [
    (dict(optim_wraper=dict(type='OptimWrapper')), "'optim_wraper', which mmengine ignores: write 'optim_wrapper'"),
    (dict(optim_wrapper=dict(paramwise_cfg=dict(custom_key={}))), "'custom_key', .*write 'custom_keys'"),
    (dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr='fast'))), "lr is 'fast': write a number"),
    (dict(train_cfg=dict(ITERS, val_interval=0)), 'train_cfg.val_interval is 0'),
    (dict(train_cfg=dict(ITERS, val_interval='1')), "train_cfg.val_interval is '1'"),
    (dict(train_cfg=dict(ITERS, max_iters=0)), 'train_cfg.max_iters is 0'),
    (dict(train_cfg=dict(EPOCHS, max_epochs=-1), sampler='DefaultSampler'), 'train_cfg.max_epochs is -1'),
    (dict(train_cfg=dict(by_epoch=True, max_iters=4)), 'EpochBasedTrainLoop, which needs max_epochs and no max_iters'),
    (dict(train_cfg=dict(ITERS, max_epochs=2)), 'IterBasedTrainLoop, which needs max_iters and no max_epochs'),
    (dict(train_cfg=dict(type='IterBasedTrainLoop')), 'needs max_iters'),
    (dict(train_cfg=dict(ITERS, by_epoch=False)), 'both type and by_epoch'),
    (dict(train_cfg=dict(max_iters=4)), 'neither type and by_epoch'),
    (dict(train_cfg=EPOCHS), 'train_dataloader.sampler is InfiniteSampler, which never ends, but epochs must'),
    (dict(train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1), sampler='EvenSampler'), 'sampler is EvenSampler'),
    (dict(val_sampler='mmengine.InfiniteSampler'), 'val_dataloader.sampler is InfiniteSampler.*a pass must'),
    (dict(loader=dict(batch_size=0)), 'train_dataloader.batch_size is 0'),
    (dict(loader=dict(num_workers=-1)), 'train_dataloader.num_workers is -1'),
    (dict(loader=dict(persistent_workers=True)), 'persistent_workers is True, but train_dataloader.num_workers is 0'),
    (dict(param_scheduler=dict(type='PolyLR')), r'param_scheduler \(PolyLR\) counts epochs'),
    (dict(param_scheduler=[POLY, dict(type='mmengine.CosineAnnealingLR', by_epoch=True)]),
     r'param_scheduler\[1\] \(CosineAnnealingLR\) counts epochs, but train_cfg counts iterations.*set by_epoch=False'),
    (dict(param_scheduler=dict(head=[dict(type='LinearLR')])), r'param_scheduler.head\[0\]'),
    (dict(default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=True))), 'default_hooks.checkpoint'),
    (dict(custom_hooks=[dict(type='CheckpointHook')]), r'custom_hooks\[0\] \(CheckpointHook\) counts epochs'),
    (dict(default_hooks=dict(logger=dict(type='LoggerHook', log_metric_by_epoch=True))), 'logger.log_metric_by_epoch'),
    (dict(log_processor=dict(by_epoch=True)), 'log_processor.by_epoch is True'),
    (dict(loader=NORMALIZED, model=CLIP), 'pipeline of train_dataloader has Normalize'),
    (dict(loader=NORMALIZED, model=dict(type='EncoderDecoder', data_preprocessor=dict(mean=[0]))), 'remove this step'),
    (dict(val_evaluator=dict(type='IoUMetric', metric='mIoU')), "IoUMetric. has the unknown setting 'metric'"),
    (dict(val_evaluator=[dict(type='ZeroShotIoUMetric', ignore_idx=0)]), "unknown setting 'ignore_idx'"),
    (dict(env_cfg=None), 'env_cfg is None, but mmengine expects a dict'),
    (dict(randomness=None), 'randomness is None, but'), (dict(randomness=3), 'randomness is 3, but'),
    (dict(custom_hooks=dict(type='EMAHook')), "custom_hooks is {'type': 'EMAHook'}, but mmengine expects a list"),
    (dict(default_hooks=[dict(type='IterTimerHook')]), r'default_hooks is \[.*\], but mmengine expects a dict'),
    (dict(test_dataloader=[dict(batch_size=1)]), 'test_dataloader is .*expects a dict'),
    (dict(log_level='info'), "log_level is 'info': set one of DEBUG, INFO"),
    (dict(optim_wrapper=dict(optimizer=dict(type='Adamw'))), "the optimizer 'Adamw', which is not registered"),
    (dict(optim_wrapper=dict(a=dict(optimizer=dict(type='Sgd')))), "the optimizer 'Sgd', which is not registered"),
    (dict(optim_wrapper=dict(optimizer=dict(type='SGD'), clip_grad=dict(max_norms=1))),
     "clip_grad has 'max_norms': its settings are max_norm, norm_type"),
    (dict(optim_wrapper=dict(optimizer=dict(type='SGD'), clip_grad=dict(type='value', max_norm=1))), 'clip_value')])
def test_others_are_refused_in_one_sentence(settings, words):
    with pytest.raises(UserError, match=words) as caught:
        check(**settings)
    assert '\n' not in str(caught.value)


def test_a_test_is_not_asked_for_its_training():
    cfg = Config(dict(train_cfg=EPOCHS, train_dataloader=dict(sampler=dict(type='InfiniteSampler')),
                      test_dataloader=dict(batch_size=1, sampler=dict(type='InfiniteSampler'))))
    with pytest.raises(UserError, match='test_dataloader.sampler'):
        check_run(cfg, ['test_dataloader'])
    cfg.test_dataloader.sampler.type = 'DefaultSampler'
    check_run(cfg, ['test_dataloader'])
