custom_imports = dict(imports=['mmseg_mvp'], allow_failed_imports=False)
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
# Keep the last checkpoint, not the best: selection by a metric with unseen classes would be training on them.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='FirstProcessLoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'))
randomness = dict(seed=0)
tta_model = dict(type='LowResSegTTAModel')
custom_hooks = [
    dict(type='IterationSeedHook'),  # a resumed run repeats the random numbers of a full run
    dict(type='ClassListCheckHook'),  # labels and names must be of the same classes
    dict(type='LabelCheckHook'),  # training must have labelled pixels
    dict(type='TextOncePerStepHook'),  # encode names once per step in gradient accumulation
    dict(type='LoopEndHook')  # stop at samplers that never end
]
