"""Steps of pipelines, also inside test time augmentation."""
from mmseg_mvp.datasets import pipelines

STOCK = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]


def test_pipelines_without_the_loading_of_masks():
    assert pipelines.without_mask_loading(STOCK) == [STOCK[0], STOCK[2]]
    flips, inner = [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)], [dict(type='LoadAnnotations')]
    tta = [STOCK[0], dict(type='TestTimeAug', transforms=[flips, inner, [STOCK[2]]])]
    kept = [STOCK[0], dict(type='TestTimeAug', transforms=[flips, [STOCK[2]]])]
    assert pipelines.without_mask_loading(tta) == kept


def test_loaders_of_the_user_are_known_by_their_name():
    own = [dict(type='LoadMyAnnotations'), dict(type='PackSegInputs')]
    assert pipelines.loads_masks(own) and pipelines.without_mask_loading(own) == own[1:]
    assert not pipelines.loads_masks([dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
