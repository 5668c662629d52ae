# ADE20K-Full, 847 classes, test only; labels of 16 bits.
_base_ = './test_only.py'

dataset_type = 'ADE20K847Dataset'
data_root = 'data/ade/ADE20K_2021_17_01'
load_labels = dict(_base_.load_labels, num_classes=847, ignore_index=65535)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images_detectron2/validation', seg_map_path='annotations_detectron2/validation'),
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images_detectron2/training', seg_map_path='annotations_detectron2/training'),
        pipeline=test_pipeline))

test_evaluator = dict(ignore_index=65535)
