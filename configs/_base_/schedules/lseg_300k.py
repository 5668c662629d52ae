# LSeg's schedule for ADE20K: 240 epochs of 20,210 images at a total batch of 16.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.004, momentum=0.9, weight_decay=0.0001),
    # The head has 10x the learning rate of the encoder. Reassembly of ViT layers counts as encoder.
    paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.), 'reassemble_blocks': dict(lr_mult=1.)}))
auto_scale_lr = dict(enable=True, base_batch_size=16)  # scale the learning rate with processes x batch size
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=300000, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300000, val_interval=20000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
