# COCO-Object without training, by ClearCLIP (arXiv 2407.12442); one word a class.
_base_ = './coco_object_naclip.py'
from mmseg_mvp.vocabularies import class_names

model = dict(
    backbone=dict(dense='clearclip'),
    decode_head=dict(scale=50., train_classes=['background', *class_names('coco_object')[1:]]),
    test_cfg=dict(crop_size=(448, 448), stride=(224, 224), prob_thd=0.4))

test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(pipeline=test_pipeline))
