# ADE20K, 150 classes, test only.
_base_ = './test_only.py'

dataset_type = 'ADE20KDataset'
data_root = 'data/ade/ADEChallengeData2016'
load_labels = dict(_base_.load_labels, num_classes=150)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=test_pipeline))
