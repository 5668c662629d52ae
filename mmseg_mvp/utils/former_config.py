"""Detection of configs that are written for MMSegmentation 0.x."""
from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_mvp.errors import UserError

from .config import takes

# Key of the top level: its spelling in 1.x. MMSegmentation 1.x reads none of them, without a word.
_TOP = {
    'data.samples_per_gpu': 'train_dataloader.batch_size',
    'data.workers_per_gpu': 'train_dataloader.num_workers',
    'data.train': 'train_dataloader.dataset',
    'data.val': 'val_dataloader.dataset',
    'data.test': 'test_dataloader.dataset',
    'data.train_dataloader': 'train_dataloader',
    'data.val_dataloader': 'val_dataloader',
    'data.test_dataloader': 'test_dataloader',
    'evaluation': 'train_cfg.val_interval and val_evaluator',
    'runner': 'train_cfg=dict(type="IterBasedTrainLoop", max_iters=...)',
    'total_iters': 'train_cfg.max_iters',
    'total_epochs': 'train_cfg.max_epochs',
    'lr_config': 'param_scheduler',
    'optimizer_config': 'optim_wrapper.clip_grad or optim_wrapper.accumulative_counts',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger and visualizer',
    'resume_from': 'resume=True and load_from',
    'fp16': 'optim_wrapper.type="AmpOptimWrapper"',
    'workflow': 'train_cfg and val_cfg',
    'dist_params': 'env_cfg.dist_cfg',
    'cudnn_benchmark': 'env_cfg.cudnn_benchmark',
}
_DATASET_KEYS = {
    'img_dir': 'data_prefix=dict(img_path=...)',
    'ann_dir': 'data_prefix=dict(seg_map_path=...)',
    'split': 'ann_file',
    'classes': 'metainfo=dict(classes=...)',
    'palette': 'metainfo=dict(palette=...)',
}
_TYPES = {
    'CustomDataset': 'BaseSegDataset',
    'DefaultFormatBundle': 'PackSegInputs',
    'Collect': 'PackSegInputs',
    'ImageToTensor': 'PackSegInputs',
    'MultiScaleFlipAug': 'TestTimeAug in tta_pipeline',
}


def check_former_keys(cfg: Config) -> None:
    """Check that a config has no key or component of MMSegmentation 0.x. Names that a user registered are allowed.

    Raises:
        UserError: If there is one, with the spelling of 1.x for each.
    """
    found = dict([*_top_keys(cfg), *_inner_keys(cfg.to_dict())])
    if 'optimizer' in cfg and 'optim_wrapper' not in cfg:
        found['optimizer'] = 'optim_wrapper=dict(type="OptimWrapper", optimizer=...)'
    if found:
        pairs = ', '.join(f'{former} as {new}' for former, new in found.items())
        raise UserError(f'{cfg.filename} has settings of MMSegmentation 0.x, which 1.x does not read: write {pairs}.')


def _top_keys(cfg: Mapping) -> Iterator[tuple[str, str]]:
    for former, new in _TOP.items():
        key, _, inner = former.partition('.')
        if cfg.get(key) is not None and (not inner or isinstance(cfg[key], Mapping) and inner in cfg[key]):
            yield former, new


def _inner_keys(node: object) -> Iterator[tuple[str, str]]:
    """Generate the settings of 0.x in data sets and pipelines anywhere in a config."""
    if isinstance(node, Mapping):
        kind = node.get('type')
        if isinstance(kind, str):
            yield from _component(kind, node)
        for value in node.values():
            yield from _inner_keys(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _inner_keys(value)


def _component(kind: str, node: Mapping) -> Iterator[tuple[str, str]]:
    if kind in _TYPES:
        found = DATASETS.get(kind) or TRANSFORMS.get(kind)
        if found is None or found.__module__.startswith('mmcv.'):  # mmcv still has two that mmseg 1.x can't use
            yield kind, _TYPES[kind]
    keys = [key for key in _DATASET_KEYS if key in node]
    if keys and (kind.endswith('Dataset') or DATASETS.get(kind)):
        yield from ((key, _DATASET_KEYS[key]) for key in keys if not takes(DATASETS.get(kind), key))
