# PASCAL VOC 2012 with the augmented training list, 15 seen and 5 unseen classes, background ignored.
_base_ = './zero_shot.py'
from mmseg_mvp.vocabularies import class_names

dataset_type = 'PascalVOC20Dataset'
data_root = 'data/VOCdevkit/VOC2012'
load_labels = dict(_base_.load_labels, num_classes=20)
train_pipeline = [_base_.train_pipeline[0], load_labels, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]
views = _base_.tta_pipeline[1].transforms
tta_pipeline = [_base_.tta_pipeline[0], dict(type='TestTimeAug', transforms=[*views[:2], [load_labels], *views[3:]])]
del views  # not a setting

train_dataloader = dict(
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                metainfo=dict(classes=class_names('voc20:seen')),  # inductive: unseen classes become 255
                data_prefix=dict(img_path='JPEGImages', seg_map_path=masks),
                ann_file=f'ImageSets/Segmentation/{split}.txt',
                pipeline=train_pipeline)
            for split, masks in (('train', 'SegmentationClass'), ('aug', 'SegmentationClassAug'))
        ]))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(unseen='voc20:unseen')
test_evaluator = val_evaluator
