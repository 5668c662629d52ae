# Cityscapes, 19 classes, test only; short side of 560 pixels.
_base_ = './test_only.py'

dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
img_scale = (2048, 560)
load_labels = dict(_base_.load_labels, num_classes=19)
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    load_labels,
    *_base_.test_pipeline[3:],
]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=test_pipeline))
