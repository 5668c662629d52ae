"""Adaptation of MVP-SEG to labelled photos: config of a short training."""
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from mmseg_mvp.apis.model_config import shipped_config
from mmseg_mvp.clip import TOYS
from mmseg_mvp.datasets.annotations import Converted

AUGMENTATIONS = 8  # crops of each photo
WARM_UP = 20  # steps until the full learning rate
LEARNING_RATE = 0.02  # ours, that of the toy world's config; the paper gives none


def default_steps(photos: int) -> int:
    """Return the training steps for a number of photos: 20 per photo, 50 to 450 (chosen on the toy world's `val`)."""
    return min(450, max(50, 20 * photos))


def set_steps(cfg: Config, steps: int) -> None:
    """Set the length of the training and of its schedule in a config, in place."""
    warm_up = min(WARM_UP, steps // 2)
    cfg.train_cfg.update(max_iters=steps, val_interval=steps)
    cfg.default_hooks.checkpoint.update(interval=steps)
    cfg.param_scheduler = [
        dict(type='CosineAnnealingLR', T_max=steps - warm_up, eta_min=0., by_epoch=False, begin=warm_up, end=steps)]
    if warm_up > 1:
        cfg.param_scheduler.insert(0, dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warm_up))


def adaptation_config(data: Converted, clip: Mapping, steps: int, augmentations: int, seed: int,
                      work_dir: Path) -> Config:
    """Return the config that trains MVP-SEG's cooperating prompts on the photos of a data folder.

    Args:
        data (Converted): Folder of photos and masks.
        clip (Mapping): ``model`` and ``weights`` of the CLIP. The toy CLIPs have the settings of the toy world.
        steps (int): Training steps.
        augmentations (int): Crops of each photo, whose features the feature bank keeps.
        seed (int): Seed of the training.
        work_dir (Path): Folder for the checkpoint and the feature bank.
    """
    cfg = shipped_config(f'mvp_seg/{"toy" if clip["model"] in TOYS else "voc"}_zs_logsumexp')
    cfg.model.clip = dict(clip)
    cfg.model.backbone.dense = 'auto'
    cfg.model.decode_head.update(train_classes=data.classes, test_classes=data.classes, ignore_index=data.ignore_index)
    cfg.model.data_preprocessor.seg_pad_val = data.ignore_index
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATE
    cfg.test_evaluator = dict(type='ZeroShotIoUMetric', ignore_index=data.ignore_index)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None  # the photos held out are for the report
    cfg.work_dir, cfg.feature_bank = str(work_dir), dict(dir=str(work_dir / 'bank'), augmentations=augmentations)
    cfg.randomness = dict(seed=seed)
    set_steps(cfg, steps)
    _set_data(cfg, data)
    return Config(cfg.to_dict(), cfg.text, str(work_dir / 'config.py'))  # the runner writes this file


def _set_data(cfg: Config, data: Converted) -> None:
    """Set the data sets and pipelines of a config, in place."""
    size = tuple(cfg.model.data_preprocessor['size'])  # (h, w) of a crop
    scale = next(step.scale for step in cfg.test_pipeline if step['type'] == 'Resize')
    labels = dict(type='LoadCheckedAnnotations', num_classes=len(data.classes), ignore_index=data.ignore_index)
    cfg.train_pipeline = [
        dict(type='LoadCheckedImage'), labels,
        dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='CountingRandomCrop', crop_size=size, cat_max_ratio=0.75, ignore_index=data.ignore_index),
        dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')]
    cfg.test_pipeline = [dict(type='LoadCheckedImage'), dict(type='Resize', scale=scale, keep_ratio=True), labels,
                         dict(type='PackSegInputs')]
    files = dict(type='BaseSegDataset', data_root=str(data.root), img_suffix=data.img_suffix,
                 data_prefix=dict(img_path='photos', seg_map_path='masks'), metainfo=dict(classes=data.classes))
    cfg.train_dataloader.dataset = dict(ann_file='train.txt', pipeline=cfg.train_pipeline, **files)
    cfg.test_dataloader.dataset = dict(ann_file='val.txt', pipeline=cfg.test_pipeline, **files)
