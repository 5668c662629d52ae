"""Things that jobs lack before they start: configs, checkpoints, data and weights, each with the way to get it."""
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_mvp.app.arguments import OptionsAction
from mmseg_mvp.clip.at_hand import clip_at_hand, timm_at_hand
from mmseg_mvp.datasets.checks import check_data, leaf_datasets
from mmseg_mvp.datasets.preflight import check_pairs
from mmseg_mvp.datasets.test_sizes import count_images, other_size
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import merge_options, read_config, type_name
from mmseg_mvp.utils.reach import in_torch_cache
from mmseg_mvp.utils.shipped import ROOT

from .rows import Job

_PRETRAIN = ('write it with a converter of MMSegmentation, such as tools/model_converters/vit2mmseg.py '
             '(docs/lseg.md), or set init_cfg of the config')


class Checks:
    """Checks of jobs. Data that several jobs share are looked for once.

    Args:
        options (Mapping): Settings of the command line, for all jobs.
        files (bool): If False, look for folders only, not for each image and mask.
    """

    def __init__(self, options: Mapping[str, Any], files: bool) -> None:
        self.options, self.files, self._data, self._read, self._counts = options, files, {}, {}, {}

    def faults(self, job: Job) -> list[str]:
        """Return a sentence for each thing without which a job can't run."""
        if job.row.script:
            return [] if (ROOT / job.row.script).is_file() else [f'script {job.row.script} does not exist: correct '
                                                                  'the row, or omit it']
        try:
            configs = self._read[job.title] = list(self._configs(job))
        except UserError as error:
            return [str(error)]
        found = [fault for cfg, loaders in configs for fault in self._data_faults(cfg, loaders)]
        if job.row.checkpoint and not Path(job.row.checkpoint).is_file() and '://' not in job.row.checkpoint:
            found.append(f'checkpoint {job.row.checkpoint} does not exist: put the file there, or correct the row')
        weights = {one for cfg, _ in configs if job.row.train for one in _local_weights(cfg)}
        return list(dict.fromkeys([*found, *(f'{path} does not exist: {_PRETRAIN}' for path in sorted(weights))]))

    def downloads(self, job: Job) -> list[str]:
        """Return a sentence for each published weights file that a job would download, with the command to get it."""
        try:
            configs = [] if job.row.script else self._read.get(job.title) or self._configs(job)
            models = [cfg.get('model') or {} for cfg, _ in configs]
        except UserError:  # a fault
            return []
        return sorted({one for model in models for one in _downloads(model)})

    def other_sizes(self, job: Job) -> list[str]:
        """Return a sentence for each published test set of which a job without faults has another number of images."""
        configs = self._read.get(job.title, ()) if self.files else ()
        leaves = (leaf for cfg, loaders in configs if 'test_dataloader' in loaders
                  for leaf in leaf_datasets(cfg.test_dataloader.dataset))
        return list(dict.fromkeys(filter(None, map(self._other_size, leaves))))

    def _other_size(self, leaf: Mapping) -> str | None:
        key, name = str(leaf), type_name(leaf)
        if key not in self._counts:
            self._counts[key] = count_images(leaf, 'test_dataloader')
        size = other_size(name, self._counts[key])
        return size and (f'the test set ({name}) has {self._counts[key]} images, but the published one has {size}: its '
                         'figures do not compare with published ones')

    def _configs(self, job: Job) -> Iterator[tuple[Config, list[str]]]:
        """Generate the configs of a job and the data loaders that it uses of each."""
        uses = {job.row.config: ['test_dataloader']}
        if job.row.train:
            uses.setdefault(job.row.train, []).extend(['train_dataloader', 'val_dataloader'])
        for name, loaders in uses.items():
            with _environment(job.row.env):
                cfg = read_config(config_path(name))
            merge_options(cfg, {**parsed(job.row.options), **self.options})
            if absent := [loader for loader in loaders if loader != 'val_dataloader' and cfg.get(loader) is None]:
                raise UserError(f'config {name} has no {absent[0]}: correct the row, or omit it')
            yield cfg, loaders

    def _data_faults(self, cfg: Config, loaders: Sequence[str]) -> Iterator[str]:
        for loader in loaders:
            key = loader, str(cfg.get(loader) and cfg[loader].get('dataset'))
            if key not in self._data:
                try:
                    check_data(cfg, [loader], self.files)
                    for leaf in leaf_datasets(cfg[loader].dataset) if self.files and cfg.get(loader) else ():
                        check_pairs(leaf, loader)
                    self._data[key] = None
                except UserError as error:
                    self._data[key] = str(error)
            if self._data[key]:
                yield self._data[key]


def config_path(name: str) -> str:
    """Return the path of a config: as given if it exists, else in the checkout."""
    return name if os.path.isfile(name) or os.path.isabs(name) else str(ROOT / name)


def parsed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as ``--cfg-options`` would read them."""
    return {key: OptionsAction._parse_iterable(value) if isinstance(value, str) else value
            for key, value in options.items()}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _dicts(part: Any) -> Iterator[Mapping]:
    """Generate all dicts in a part of a config."""
    if isinstance(part, Mapping):
        yield part
    for inner in part.values() if isinstance(part, Mapping) else part if isinstance(part, (list, tuple)) else ():
        yield from _dicts(inner)


def _local_weights(cfg: Config) -> Iterator[str]:
    """Generate the files of ``init_cfg`` that do not exist."""
    for part in _dicts(cfg.get('model') or {}):
        init = part.get('init_cfg')
        path = init.get('checkpoint') if isinstance(init, Mapping) else None
        if isinstance(path, str) and '://' not in path and not os.path.isfile(path):
            yield path


def _downloads(model: Mapping) -> Iterator[str]:
    for part in _dicts(model):
        clip, dense = part.get('clip'), part.get('dense')
        if isinstance(clip, Mapping) and not clip_at_hand(clip.get('model'), clip.get('weights')):
            name, weights = clip['model'], clip['weights']
            yield (f'CLIP {name} with weights {weights}: python -c "from mmseg_mvp.clip import load_clip; '
                   f'load_clip({name!r}, {weights!r})"')
        if isinstance(dense, Mapping) and dense.get('type') == 'proxy' and not dense.get('weights'):
            name = dense.get('model', 'vit_base_patch8_224.dino')
            if dense.get('pretrained', True) and not timm_at_hand(name):
                yield f'proxy {name}: python -c "import timm; timm.create_model({name!r}, pretrained=True)"'
        init = part.get('init_cfg')
        path = init.get('checkpoint') if isinstance(init, Mapping) else None
        if isinstance(path, str) and '://' in path and not in_torch_cache(path):
            yield (f'{path}: python -c "from mmengine.runner.checkpoint import CheckpointLoader; '
                   f'CheckpointLoader.load_checkpoint({path!r})"')
