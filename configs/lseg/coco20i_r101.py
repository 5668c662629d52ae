# LSeg with ResNet-101 on COCO-20i: 'others' or the class of the episode. Nobody has measured it here.
# The fold, 0 to 3, comes from the environment: FOLD=2 python tools/train.py configs/lseg/coco20i_r101.py
_base_ = [
    '../_base_/models/lseg_r101.py', '../_base_/datasets/coco20i.py', '../_base_/schedules/lseg_3k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(train_classes=['others', 'object']),  # each episode brings its own
    test_cfg=dict(mode='whole', crop_size=None, stride=None))
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=20000, by_epoch=False)]
train_cfg = dict(max_iters=20000, val_interval=20000)
work_dir = f'./work_dirs/coco20i_r101_fold{_base_.fold}'
