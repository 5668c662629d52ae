# PASCAL Context, 60 classes with background, test only.
_base_ = './context59_test.py'

dataset_type = 'PascalContextDataset'
load_labels = dict(_base_.load_labels, num_classes=60)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
