# Training on five data sets, each image with the labels of its own data set, as for LSeg's demo model. That model used
# the seven of MSeg: ADE20K, BDD100K, Cityscapes, COCO-Panoptic, IDD, Mapillary Vistas, SUN RGB-D. MMSegmentation has
# no data set for IDD and SUN RGB-D. COCO has the labels of COCO-Stuff here. Validation and test use ADE20K.
_base_ = './ade20k_lseg.py'
from mmseg_mvp.vocabularies import class_names

augmentation = _base_.train_pipeline[2:5]
# One pipeline per vocabulary, with the number of classes in the files.
train_pipelines = {
    classes: [
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations', num_classes=num_classes),
        *augmentation,
        dict(type='PackVocabulary', classes=classes),
    ]
    for classes, num_classes in dict(ade20k=150, cityscapes=19, coco_stuff=171, mapillary_v1=66).items()
}
train_dataloader = dict(
    sampler=dict(type='EvenSampler'),  # COCO has 40 times as many images as Cityscapes
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
        datasets=[
            dict(
                type='ADE20KDataset',
                data_root='data/ade/ADEChallengeData2016',
                data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
                pipeline=train_pipelines['ade20k']),
            dict(
                type='CityscapesDataset',
                data_root='data/cityscapes',
                data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
                pipeline=train_pipelines['cityscapes']),
            dict(
                type='COCOStuffDataset',
                data_root='data/coco_stuff164k',
                data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
                pipeline=train_pipelines['coco_stuff']),
            dict(
                type='BDD100KDataset',
                data_root='data/bdd100k',
                data_prefix=dict(img_path='images/10k/train', seg_map_path='labels/sem_seg/masks/train'),
                pipeline=train_pipelines['cityscapes']),  # the labels of Cityscapes
            dict(
                type='MapillaryDataset_v1',
                data_root='data/mapillary',
                metainfo=dict(classes=class_names('mapillary_v1')),  # 'Unlabeled', the last of 66, becomes 255
                data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'),
                pipeline=train_pipelines['mapillary_v1']),
        ]))
