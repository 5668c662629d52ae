# LSeg with ResNet-101 on COCO-20i, binary: 'others' or the class of the episode. Not measured here.
# The environment variable FOLD sets the fold, 0 to 3: FOLD=2 python tools/train.py configs/lseg/coco20i_r101.py
_base_ = [
    '../_base_/models/lseg_r101.py', '../_base_/datasets/coco20i.py', '../_base_/schedules/lseg_3k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(train_classes=['others', 'object']),  # each episode has its own names
    test_cfg=dict(mode='whole', crop_size=None, stride=None))
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=20000, by_epoch=False)]
train_cfg = dict(max_iters=20000, val_interval=20000)
work_dir = f'./work_dirs/lseg/coco20i_r101_fold{_base_.fold}'
