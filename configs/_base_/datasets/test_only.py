# Pipelines, loaders and metric shared by the test-only data sets (*_test.py): short side of 336 pixels, long side of at
# most 2048, labels at the size of the file. `choose_dataloader` has training images, on which
# tools/analysis_tools/choose_threshold.py chooses a threshold.
img_scale = (2048, 336)
load_labels = dict(type='LoadCheckedAnnotations')  # each data set adds num_classes
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    load_labels,  # after Resize: evaluation at the size of the file
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False))
choose_dataloader = test_dataloader

test_evaluator = dict(type='ZeroShotIoUMetric')
test_cfg = dict(type='TestLoop')
