# VOC21 without training, by ClearCLIP (arXiv 2407.12442); one word a class, as in its code.
_base_ = './voc21_naclip.py'
model = dict(
    backbone=dict(dense='clearclip'),
    decode_head=dict(scale=50., train_classes=['background', *_base_.one_word]),
    test_cfg=dict(mode='slide', crop_size=(448, 448), stride=(224, 224), prob_thd=0.5))

test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(pipeline=test_pipeline))
