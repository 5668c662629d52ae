"""Before a start, each thing that a job lacks is named, with the way to get it."""
import shutil

import pytest
from fixtures.suites import jobs_of
from fixtures.trees import write_ade20k, write_cityscapes, write_coco_stuff, write_voc

from mmseg_mvp.app.suites.missing import Checks
from mmseg_mvp.clip import at_hand, download
from mmseg_mvp.clip.at_hand import clip_at_hand, timm_at_hand

TOY = dict(name='toy', config='configs/maskclip/toy_zs.py')
VOC = dict(name='voc', config='configs/maskclip/voc_zs.py', options={'model.clip.weights': None})


def faults(folder, row, **options):
    job, = jobs_of(folder, row)
    return Checks(options, files=True).faults(job)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_toy_world_lacks_nothing(tmp_path):
    assert faults(tmp_path, TOY) == []
    assert faults(tmp_path, dict(TOY, config='configs/mvp_seg/toy_zs.py', train=True)) == []
    job, = jobs_of(tmp_path, TOY)
    assert Checks({}, True).downloads(job) == []


@pytest.mark.parametrize('change, message', [
    (dict(config='configs/gone.py'), 'gone.py does not exist'),
    (dict(train='configs/gone.py'), 'gone.py does not exist'),
    (dict(checkpoint='gone.pth'), 'checkpoint gone.pth does not exist'), (dict(train=True), 'has no train_dataloader'),
    (dict(options={'modell.x': 1}), "there is no 'modell'"),
])
def test_what_is_gone_is_named(change, message, tmp_path):
    sentence, = faults(tmp_path, {**TOY, **change})
    assert message in sentence and '\n' not in sentence
    if 'options' not in change:
        job, = jobs_of(tmp_path, {**TOY, **change})
        assert Checks({}, True).downloads(job) == []


def test_a_script_that_is_gone_is_named(tmp_path):
    assert 'script tools/gone.py does not exist' in faults(tmp_path, dict(name='s', script='tools/gone.py'))[0]


@pytest.mark.parametrize('name, write, image', [
    ('coco_stuff', write_coco_stuff, 'images/val2017/000000000003.jpg'),
    ('ade20k', write_ade20k, 'images/validation/ADE_val_00000003.jpg'),
    ('cityscapes', write_cityscapes, 'leftImg8bit/val/lindau/lindau_000002_000019_leftImg8bit.png')])
def test_half_of_the_images_of_a_set_without_a_list(name, write, image, tmp_path):
    """The folder is the list, so the figure would be that of the other images."""
    row = dict(name='a', config=f'configs/training_free/{name}_naclip.py', options={'model.clip.weights': None})
    root = write(tmp_path / 'data')
    assert faults(tmp_path, row) == []
    (root / image).unlink()
    sentence, = faults(tmp_path, row)
    assert '1 of the 4 masks of test_dataloader' in sentence and image in sentence and '\n' not in sentence
    job, = jobs_of(tmp_path, row)
    assert Checks({}, files=False).faults(job) == []


def test_missing_data_show_the_tree_and_half_of_a_set_the_files(tmp_path):
    sentence, = faults(tmp_path, VOC)
    assert "data root 'data/VOCdevkit/VOC2012'" in sentence and 'SegmentationClassAug' in sentence
    root = write_voc(tmp_path / 'data')
    assert faults(tmp_path, VOC) == []
    masks = sorted((root / 'SegmentationClass').glob('*.png'))
    listed = (root / 'ImageSets/Segmentation/val.txt').read_text().split()
    (root / f'SegmentationClass/{listed[0]}.png').unlink()
    sentence, = faults(tmp_path, VOC)
    assert f'1 of the {len(listed)} masks of test_dataloader' in sentence and f'{listed[0]}.png' in sentence and masks
    shutil.rmtree(root / 'JPEGImages')
    assert 'image folder' in faults(tmp_path, VOC)[0]


@pytest.mark.parametrize('name, write, images, published', [
    ('voc21', write_voc, 'JPEGImages/*.jpg', 1449), ('ade20k', write_ade20k, 'images/validation/*.jpg', 2000)])
def test_a_part_of_a_set_is_told_from_the_whole(name, write, images, published, tmp_path):
    """Image and mask of each absent picture are gone, so no file tells of it."""
    root = write(tmp_path / 'data')
    job, = jobs_of(tmp_path, dict(name='a', config=f'configs/training_free/{name}_naclip.py',
                                  options={'model.clip.weights': None}))
    checks = Checks({}, files=True)
    assert checks.faults(job) == []
    sentence, = checks.other_sizes(job)
    count = len(list(root.glob(images))) if name == 'ade20k' else len(
        (root / 'ImageSets/Segmentation/val.txt').read_text().split())
    assert f'has {count} images, but the published one has {published}:' in sentence
    toy, = jobs_of(tmp_path, TOY)
    assert checks.faults(toy) == [] and checks.other_sizes(toy) == []
    unread = Checks({}, files=False)
    assert unread.faults(job) == [] and unread.other_sizes(job) == []


def test_data_that_rows_share_are_looked_for_once(tmp_path, monkeypatch):
    one, other = jobs_of(tmp_path, VOC, dict(VOC, name='again'))
    checks = Checks({}, files=True)
    assert checks.faults(one)
    write_voc(tmp_path / 'data')
    assert checks.faults(other) and Checks({}, files=True).faults(other) == []


def test_a_fold_reaches_the_config(tmp_path):
    row = dict(name='f', config='configs/lseg/pascal5i_r101.py', env={'FOLD': 3})
    job, = jobs_of(tmp_path, row)
    (cfg, loaders), = Checks({}, True)._configs(job)
    assert cfg.test_dataloader.dataset.fold == '3' and loaders == ['test_dataloader']


def test_weights_files_of_a_config_are_named(tmp_path):
    row = dict(name='v', config='configs/lseg/ade20k_vit-l16.py', train=True)
    found = faults(tmp_path, row)
    assert any('pretrain/vit_large_patch16_384.pth does not exist' in one and 'vit2mmseg.py' in one for one in found)


def test_downloads_come_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setattr(download, 'try_to_load_from_cache', lambda repository, file: None)
    proxy, student = jobs_of(tmp_path, dict(name='p', config='configs/dense/voc_zs_proxy.py'),
                             dict(name='s', config='configs/mvp_seg_plus/voc_zs.py', train=True))
    found = Checks({}, True).downloads(proxy)
    assert len(found) == 2 and "load_clip('ViT-B-16-quickgelu', 'openai')" in found[0]
    assert "timm.create_model('vit_base_patch8_224.dino', pretrained=True)" in found[1]
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    found = Checks({}, True).downloads(student)
    assert any("load_checkpoint('open-mmlab://resnet101_v1c')" in one for one in found)
    (tmp_path / 'hub/checkpoints').mkdir(parents=True)
    (tmp_path / 'hub/checkpoints/resnet101_v1c-e67eebb6.pth').write_text('')
    assert not any('resnet101' in one for one in Checks({}, True).downloads(student))


def test_weights_are_found_in_the_caches(monkeypatch, tmp_path):
    held = {('timm/vit_base_patch16_clip_224.openai', 'open_clip_model.safetensors'): 'file'}
    monkeypatch.setattr(download, 'try_to_load_from_cache', lambda *key: held.get(key))
    assert clip_at_hand('ViT-B-16-quickgelu', 'openai') and not clip_at_hand('RN50-quickgelu', 'openai')
    assert clip_at_hand('toy-rn', 'toy') and clip_at_hand('RN50', None) and clip_at_hand('RN50', 'file.pt')
    assert not timm_at_hand('vit_base_patch8_224.dino')
    held['timm/vit_base_patch8_224.dino', 'model.safetensors'] = 'file'
    assert timm_at_hand('vit_base_patch8_224.dino') and timm_at_hand('vit_tiny_patch16_224.unknown')
    monkeypatch.setenv('HOME', str(tmp_path))
    for module in (at_hand, download):
        monkeypatch.setattr(module, 'get_pretrained_cfg', lambda model, tag: {'url': 'https://a.example/b/model.pt'})
    assert not clip_at_hand('any', 'tag')
    (tmp_path / '.cache/clip').mkdir(parents=True)
    (tmp_path / '.cache/clip/model.pt').write_text('')
    assert clip_at_hand('any', 'tag')
