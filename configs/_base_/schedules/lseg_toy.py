_base_ = ['./lseg_300k.py']
# Nothing is pretrained, so all parts learn as fast as LSeg's new ones.
optim_wrapper = dict(optimizer=dict(lr=0.04), paramwise_cfg=None)
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=450, by_epoch=False)]
train_cfg = dict(max_iters=450, val_interval=450)
