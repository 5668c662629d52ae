# LSeg with ViT-L/16 on PASCAL-5i, binary: 'others' or the class of the episode. Not measured here.
# The environment variable FOLD sets the fold, 0 to 3: FOLD=2 python tools/train.py configs/lseg/pascal5i_vit-l16.py
_base_ = [
    '../_base_/models/lseg_vit-l16.py', '../_base_/datasets/pascal5i.py', '../_base_/schedules/lseg_3k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(train_classes=['others', 'object']),  # each episode has its own names
    test_cfg=dict(mode='whole', crop_size=None, stride=None))
work_dir = f'./work_dirs/lseg/pascal5i_vit-l16_fold{_base_.fold}'
