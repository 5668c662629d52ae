# Schedule of the prompts. The paper gives none; ours has CoOp's optimizer and mmseg's iterations.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=0.0005),  # ours (CoOp's)
    # logit_scale and temperature are stored as logarithms; weight decay would pull both to 1.
    paramwise_cfg=dict(custom_keys=dict(log_scale=dict(decay_mult=0.), log_temperature=dict(decay_mult=0.))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, begin=0, end=500),  # ours
    dict(type='CosineAnnealingLR', T_max=19500, eta_min=0., by_epoch=False, begin=500, end=20000)  # ours
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=20000)  # ours
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
