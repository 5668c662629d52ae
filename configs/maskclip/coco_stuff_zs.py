_base_ = [
    '../_base_/models/maskclip_rn50.py', '../_base_/datasets/coco_stuff_zs.py', '../_base_/default_runtime.py'
]
model = dict(decode_head=dict(train_classes='coco_stuff'))
# MaskCLIP needs no training.
train_dataloader = None
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
