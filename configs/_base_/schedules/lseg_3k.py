# LSeg's optimizer with few iterations, for episodes. The official runs stop after four epochs. Not measured here.
_base_ = ['./lseg_300k.py']
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=3000, by_epoch=False)]
train_cfg = dict(max_iters=3000, val_interval=3000)
