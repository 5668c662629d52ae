# COCO-Stuff 164k, 171 classes, test only.
_base_ = './test_only.py'

dataset_type = 'COCOStuffDataset'
data_root = 'data/coco_stuff164k'
load_labels = dict(_base_.load_labels, num_classes=171)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
        pipeline=test_pipeline))
