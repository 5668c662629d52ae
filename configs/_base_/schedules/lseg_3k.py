# LSeg's optimizer on the few images of episodes. The official runs stop after four epochs; nobody has measured this.
_base_ = ['./lseg_300k.py']
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=3000, by_epoch=False)]
train_cfg = dict(max_iters=3000, val_interval=3000)
