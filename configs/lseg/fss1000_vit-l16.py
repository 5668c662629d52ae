# LSeg with ViT-L/16 on FSS-1000, binary: 'others' or the class of the episode. Not measured here.
_base_ = [
    '../_base_/models/lseg_vit-l16.py', '../_base_/datasets/fss1000.py', '../_base_/schedules/lseg_3k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(train_classes=['others', 'object']),  # each episode has its own names
    test_cfg=dict(mode='whole', crop_size=None, stride=None))
