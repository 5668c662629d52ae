"""Building of a feature bank on tiny CLIPs: features and losses of the same crops, refusals, continuation."""
import copy
import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fixtures.banks import AUGMENTED, NAMES, bank_config
from fixtures.refusals import refused
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_mvp.apis import bank_crops, build_bank, feature_bank
from mmseg_mvp.datasets.bank_files import BankFiles, locked
from mmseg_mvp.models.segmentors.feature_inputs import accept_features
from mmseg_mvp.utils.random_state import seed_cpu

# Plain transforms give crops of one size only with padding.
FLIPPED = [dict(type='DrawToyScene'), dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')]


@pytest.fixture
def cfg(mmseg_scope, tiny_clip):
    torch.manual_seed(0)
    return bank_config(tiny_clip)


def losses(model, data):
    """Loss and gradient of the contexts of a batch."""
    model.zero_grad()
    loss = model.parse_losses(model.loss(**model.data_preprocessor(data, training=True)))[0]
    loss.backward()
    return loss.detach(), model.decode_head.classifier.prompts.contexts.grad.clone()


@pytest.mark.parametrize(('precision', 'tolerance'), [('float32', 1e-6), ('float16', 1e-3)])
def test_the_loss_is_that_of_the_same_crops(cfg, tmp_path, precision, tolerance):
    """The crops are drawn once more from the data set, by the seeds of image and crop."""
    model = MODELS.build(cfg.model).train()
    bank = build_bank(cfg, tmp_path / 'bank', 2, precision, 3, model)
    plain, crops = DATASETS.build(cfg.train_dataloader.dataset), []
    for image, crop in ((2, 0), (0, 1)):
        seed_cpu(3, image, crop)
        crops.append(plain[image])
    expected = losses(model, pseudo_collate(crops))
    accept_features(model)
    drawn = iter((0, 1))
    bank.files.read = lambda image, _, read=bank.files.read: read(image, next(drawn))
    found = losses(model, pseudo_collate([bank[2], bank[0]]))
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


def test_crops_differ_and_do_not_depend_on_workers(cfg, tmp_path):
    files = [build_bank(cfg, tmp_path / '0', 2).files]
    cfg.train_dataloader.num_workers = 2
    files.append(build_bank(cfg, tmp_path / '2', 2).files)
    for image in range(3):
        one, other = (bank.path(image).read_bytes() for bank in files)
        assert one == other
        assert not np.array_equal(files[0].read(image, 0)[0], files[0].read(image, 1)[0])


def test_random_states_are_those_before(cfg, tmp_path):
    model = MODELS.build(cfg.model)
    seed_cpu(1)
    expected = torch.rand(1), np.random.rand()
    seed_cpu(1)
    build_bank(cfg, tmp_path / 'bank', 1, model=model)
    assert (torch.rand(1), np.random.rand()) == expected


def test_size_and_time_are_said_and_a_complete_bank_is_read(cfg, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(feature_bank, 'print_log', lambda text, *_: said.append(text))
    model = MODELS.build(cfg.model)
    bank = build_bank(cfg, tmp_path / 'bank', 2, model=model)
    size = sum(path.stat().st_size for path in (tmp_path / 'bank').glob('*.npy'))
    assert f'3 of 3 images x 2 augmentations, {size / 2**20:.1f} MiB on disk' in said[0] and ', about ' in said[0]
    model.extract_feat = None  # not called
    (tmp_path / 'bank').chmod(0o500)
    assert len(build_bank(cfg, tmp_path / 'bank', 2, model=model)) == len(bank) == 3
    assert said[1:] == [f'Features of 3 images come from the feature bank {tmp_path}/bank.']


def test_an_unfinished_bank_is_continued(cfg, tmp_path):
    model = MODELS.build(cfg.model)
    files = build_bank(cfg, tmp_path / 'bank', 2, model=model).files
    contents = [files.path(image).read_bytes() for image in range(3)]
    files.path(0).unlink()
    files.path(2).write_bytes(contents[2][:100])
    kept = files.path(1).stat().st_mtime_ns
    seen, extract = [], model.extract_feat
    model.extract_feat = lambda images: (seen.append(len(images)), extract(images))[1]
    build_bank(cfg, tmp_path / 'bank', 2, model=model)
    assert [files.path(image).read_bytes() for image in range(3)] == contents
    assert files.path(1).stat().st_mtime_ns == kept and sum(seen) == 4, 'two images of two crops'


def change(cfg, place, value):
    other = copy.deepcopy(cfg)
    other.merge_from_dict({place: value}, allow_list_keys=True)
    return other


def test_a_bank_of_other_settings_is_refused_by_name(mmseg_scope, tiny_vit, tiny_rn, tmp_path):
    cfg = bank_config(tiny_vit)
    build_bank(cfg, tmp_path / 'bank', 2)

    def refuses(*words, cfg=cfg, augmentations=2, **kwargs):
        refused(lambda: build_bank(cfg, tmp_path / 'bank', augmentations, **kwargs), *words, 'name another folder')

    refuses('number of augmentations is 2 there and 4 here', augmentations=4)
    refuses('seed is 0 there and 1 here', seed=1)
    refuses("precision is 'float16' there and 'float32' here", precision='float32')
    refuses('CLIP (fingerprint)', cfg=bank_config(tiny_rn))
    refuses("dense variant is 'maskclip' there and 'value' here", cfg=change(cfg, 'model.backbone.dense', 'value'))
    refuses("autocast is None there and 'bfloat16' here", cfg=change(cfg, 'model.backbone.autocast', 'bfloat16'))
    refuses('number of images is 3 there and 4 here', cfg=bank_config(tiny_vit, images=4))
    refuses('pipeline[3].prob is 0.5 there and 0.0 here',
            cfg=change(cfg, 'train_dataloader.dataset.pipeline.3.prob', 0.))
    larger = change(change(cfg, 'model.data_preprocessor.size', (80, 96)),
                    'train_dataloader.dataset.pipeline.2.crop_size', (80, 96))
    refuses("crop size is '64 x 64' there and '96 x 80' here", cfg=larger)


@pytest.fixture
def photos(mmseg_scope, tiny_vit, tmp_path):
    """A config of two image files with masks."""
    random = np.random.default_rng(0)
    for index in range(2):
        for folder, shape in (('img', (64, 64, 3)), ('ann', (64, 64))):
            (tmp_path / 'data' / folder).mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 3 if folder == 'ann' else 256, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'data' / folder / f'{index}.png')
    cfg = bank_config(tiny_vit)
    cfg.train_dataloader.dataset = dict(
        type='BaseSegDataset', data_root=str(tmp_path / 'data'), metainfo=dict(classes=NAMES), img_suffix='.png',
        data_prefix=dict(img_path='img', seg_map_path='ann'), pipeline=[
            dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations', num_classes=3),
            dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')])
    return cfg


def test_changed_files_are_found_and_a_moved_data_set_is_not_another(photos, tmp_path):
    build_bank(photos, tmp_path / 'bank', 1)
    shutil.move(tmp_path / 'data', tmp_path / 'moved')
    photos.train_dataloader.dataset.data_root = str(tmp_path / 'moved')
    build_bank(photos, tmp_path / 'bank', 1)
    mask = tmp_path / 'moved/ann/1.png'
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(mask)
    refused(lambda: build_bank(photos, tmp_path / 'bank', 1), 'data (hash of names, sizes and times of the files)')
    shutil.copy(mask.with_name('0.png'), mask.with_name('2.png'))
    shutil.copy(tmp_path / 'moved/img/0.png', tmp_path / 'moved/img/2.png')
    refused(lambda: build_bank(photos, tmp_path / 'bank', 1), 'number of images is 2 there and 3 here')


def test_labels_beyond_the_classes_are_refused_with_the_mask(photos, tmp_path):
    photos.train_dataloader.dataset.pipeline[1].update(num_classes=400)
    photos.train_dataloader.dataset.pipeline[1].ignore_index = 65535
    Image.fromarray(np.full((64, 64), 300, np.uint16)).save(tmp_path / 'data/ann/1.png')
    refused(lambda: build_bank(photos, tmp_path / 'bank', 1), '/img/1.png', 'label 300')


@pytest.mark.parametrize('images', [1, 2])
def test_crops_of_several_sizes_are_refused(photos, tmp_path, images):
    """Of one image, and of two images."""
    photos.model.data_preprocessor.update(size=None, size_divisor=1)
    if images == 1:
        photos.train_dataloader.dataset.pipeline.insert(
            2, dict(type='RandomResize', scale=(64, 64), ratio_range=(0.5, 2.), keep_ratio=True))
    else:
        for folder in ('img', 'ann'):
            path = tmp_path / 'data' / folder / '1.png'
            Image.open(path).crop((0, 0, 50, 40)).save(path)
    refused(lambda: build_bank(photos, tmp_path / 'bank', 2), '.png', ' pixels', 'CountingRandomCrop')


def test_small_images_are_padded_to_one_size(photos, tmp_path):
    for folder in ('img', 'ann'):
        path = tmp_path / 'data' / folder / '1.png'
        Image.open(path).crop((0, 0, 50, 40)).save(path)
    labels = build_bank(photos, tmp_path / 'bank', 1).files.read(1, 0)[1]
    assert labels.shape == (64, 64) and (labels[40:] == 255).all() and (labels[:, 50:] == 255).all()
    assert (labels[:40, :50] < 3).all()


def test_training_images_without_labels_are_refused(cfg, tmp_path):
    class Unlabelled(torch.utils.data.Dataset):
        def __init__(self, dataset):
            self.dataset = dataset

        def __len__(self):
            return 1

        def __getitem__(self, index):
            sample = self.dataset[index]
            del sample['data_samples'].gt_sem_seg
            return sample

    crops = bank_crops.Crops(Unlabelled(DATASETS.build(cfg.train_dataloader.dataset)), 1, 0)
    refused(lambda: bank_crops.inputs_of(crops[0], MODELS.build(cfg.model)), 'have no labels')


def test_own_vocabularies_are_refused(mmseg_scope, tiny_vit, tmp_path):
    cfg = bank_config(tiny_vit, pipeline=[*AUGMENTED[:-1], dict(type='PackVocabulary', classes=NAMES)])
    refused(lambda: build_bank(cfg, tmp_path / 'bank', 1), 'have a vocabulary of their own')


@pytest.mark.parametrize('settings', [dict(augmentations=0), dict(augmentations=1.5), dict(augmentations='2'),
                                      dict(seed=-1), dict(precision='int8'), dict(precision=None)])
def test_settings_out_of_range_are_refused(tmp_path, settings):
    refused(lambda: build_bank(None, tmp_path, **settings), f'feature_bank.{min(settings)} is ')


def test_a_disk_without_space_is_refused_before_the_start(cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_bank.shutil, 'disk_usage', lambda _: SimpleNamespace(free=2**20))
    monkeypatch.setattr(BankFiles, 'bytes_per_image', 2**30, raising=False)
    cfg.train_dataloader.dataset.num_images = 3000
    refused(lambda: build_bank(cfg, tmp_path / 'bank', 8), 'its disk has 1.0 MiB free', 'augmentations')
    assert not list((tmp_path / 'bank').glob('*.npy')) and not (tmp_path / 'bank/index.json').exists()


def test_a_bank_in_use_and_a_foreign_folder_are_refused(cfg, tmp_path):
    with locked(tmp_path / 'bank'):
        refused(lambda: build_bank(cfg, tmp_path / 'bank'), 'being built by another process')
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/a.jpg').touch()
    refused(lambda: build_bank(cfg, tmp_path / 'photos'), 'not a feature bank')
    assert [path.name for path in (tmp_path / 'photos').iterdir()] == ['a.jpg']


def test_features_beyond_half_precision_are_refused(cfg, tmp_path):
    model = MODELS.build(cfg.model)
    extract = model.extract_feat
    model.extract_feat = lambda images: (1e6 * extract(images)[0], )
    refused(lambda: build_bank(cfg, tmp_path / 'bank', 1, model=model), 'not finite in float16', "'float32'")
    build_bank(cfg, tmp_path / 'wide', 1, 'float32', model=model)


def test_data_sets_without_a_list_are_refused(cfg):
    class Streamed(torch.utils.data.Dataset):
        def __len__(self):
            return 1

    from mmseg_mvp.apis.bank_settings import data_digest
    refused(lambda: data_digest(Streamed()), 'Streamed', 'get_data_info')


def test_the_index_has_all_settings(cfg, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        build_bank(cfg, tmp_path / 'bank', 1)
    settings = json.loads((tmp_path / 'bank/index.json').read_text())['settings']
    steps = [step['type'] for step in settings['train_dataloader.dataset']['pipeline']]
    assert steps == [step['type'] for step in AUGMENTED] and settings['crop size'] == '64 x 64'
