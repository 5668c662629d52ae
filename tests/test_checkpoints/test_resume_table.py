"""Exact resuming of every scheduler, optimizer, hook and metainfo type that mmengine can save.

Each row trains a tiny model without interruption, and again until an exception in an iteration after a checkpoint; that
run is resumed as ``tools/train.py --resume`` does, and as mmengine's own tools do. All ends are equal bit for bit.
"""
import copy
import itertools
import re
import shutil
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType

import mmengine.visualization  # noqa: F401
import numpy as np
import pytest
import torch
from fixtures.tools import load_tool
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseAveragedModel, BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
)
from mmengine.runner import Runner
from mmseg.registry import HOOKS as MMSEG_HOOKS
from mmseg.registry import PARAM_SCHEDULERS as MMSEG_PARAM_SCHEDULERS
from mmseg.utils import register_all_modules
from torch import Tensor, nn
from torch.utils.data import Dataset

import mmseg_mvp  # noqa: F401
from mmseg_mvp.checkpoints import checkpoints_as_data

register_all_modules(init_default_scope=False)
train_tool = load_tool('train.py')
_RUNS = itertools.count()
METAINFO = {}  # of the data set; a config cannot contain objects
Point = namedtuple('Point', 'x y')


class Killed(Exception):
    """Exception that replaces a signal."""


@DATASETS.register_module()
class ResumeTableData(Dataset):
    """Eight random samples."""

    def __init__(self):
        self.samples = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
        self.metainfo = dict(METAINFO)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return dict(inputs=self.samples[index] + torch.rand(3))


@MODELS.register_module()
class ResumeTableNet(BaseModel):
    """One linear layer with dropout.

    Args:
        kind (str): ``'sparse'`` for sparse gradients, ``'matrix'`` for one weight, ``'closure'`` for an optimizer that
            calls the model, ``'pair'`` for two optimizers.
    """

    def __init__(self, kind='plain'):
        super().__init__()
        self.kind = kind
        self.linear = nn.Embedding(8, 3, sparse=True) if kind == 'sparse' else nn.Linear(3, 2, bias=False)
        self.norm = nn.BatchNorm1d(3) if kind in ('plain', 'pair') else nn.Identity()

    def forward(self, inputs, mode='loss', **_):
        inputs = torch.stack(inputs) if isinstance(inputs, (list, tuple)) else inputs
        if self.kind == 'sparse':
            value = self.linear((inputs * 100).long().sum(1) % 8)
        else:
            value = self.linear(nn.functional.dropout(self.norm(inputs), 0.2, self.training))
        loss = (value.float() - 1).square().mean()
        return dict(loss=loss) if mode == 'loss' else [dict(loss=loss.item())]

    def train_step(self, data, optim_wrapper):
        if self.kind == 'closure':
            return self._steps_by_closure(data, optim_wrapper)
        if self.kind != 'pair':
            return super().train_step(data, optim_wrapper)
        loss = self(**data)['loss']
        loss.backward()
        for wrapper in optim_wrapper.values():
            wrapper.step()
            wrapper.zero_grad()
        return dict(loss=loss)

    def _steps_by_closure(self, data, optim_wrapper):
        losses = []

        def closure():
            optim_wrapper.zero_grad()
            losses.append(self(**data)['loss'])
            losses[-1].backward()
            return losses[-1]

        optim_wrapper.step(closure=closure)
        return dict(loss=losses[0])


@METRICS.register_module()
class ResumeTableMetric(BaseMetric):
    """The loss, which alternately rises and falls."""

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return dict(error=float(np.mean([one['loss'] for one in results])))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ResumeTablePair:
    """Two optimizers with one wrapper each."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass

    def __call__(self, model):
        return OptimWrapperDict(
            linear=OptimWrapper(torch.optim.Adam(model.linear.parameters(), lr=0.1)),
            norm=OptimWrapper(torch.optim.SGD(model.norm.parameters(), lr=0.1, momentum=0.9)))


@HOOKS.register_module()
class ResumeTableKill(Hook):
    """Hook that stops a run after some iterations."""

    def __init__(self, after):
        self.after = after

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.after:
            raise Killed


@HOOKS.register_module()
class ResumeTableNotes(Hook):
    """Hook that stores objects of many types in the message hub and updates them."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        hub = runner.message_hub
        if runner.iter == 0:
            hub.update_info_dict(dict(
                counter=Counter(), seen=set(), paths=deque(maxlen=2), folder=Path('a'), array=np.zeros(3, 'f4'),
                began=datetime(2026, 1, 2), by_name=defaultdict(list), by_place=OrderedDict(), number=np.int64(0),
                options=Namespace(n=0), settings=ConfigDict(n=0), log=HistoryBuffer(max_length=3), text=np.str_('')))
        now = hub.runtime_info
        now['counter'][runner.iter % 2] += 1
        now['seen'].add((runner.iter, 'x'))
        now['paths'].append(Path(str(runner.iter)))
        now['folder'] /= 'b'
        now['array'] += runner.iter
        now['began'] += datetime.resolution
        now['by_name'].setdefault(runner.iter % 3, []).append(outputs['loss'].item())
        now['by_place'][(0, runner.iter)] = torch.full((2, ), float(runner.iter))
        now['options'].n += 1
        now['settings'].n += 1
        now['log'].update(runner.iter)
        now['number'] += 1
        now['text'] = np.str_(now['text'] + 'x')


def config(folder, validated=False, custom_hooks=(), **more):
    """Return the config of a run; dots in names separate nested keys."""
    loader = dict(dataset=dict(type='ResumeTableData'), batch_size=2, num_workers=0)
    cfg = Config(dict(
        default_scope='mmseg', work_dir=str(folder), model=dict(type='ResumeTableNet'),
        train_dataloader=dict(loader, sampler=dict(type='InfiniteSampler', shuffle=True)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=100),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=more.pop('param_scheduler', []), randomness=dict(seed=0), log_level='WARNING',
        default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', interval=2, by_epoch=False),
                           logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='IterationSeedHook'), *custom_hooks],
        experiment_name=f'resume table {next(_RUNS)}'), format_python_code=False)
    if validated:
        cfg.merge_from_dict(dict(
            val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_cfg=dict(type='ValLoop'), val_evaluator=dict(type='ResumeTableMetric')))
    cfg.merge_from_dict(copy.deepcopy(more))
    return cfg


def train(folder, **more):
    """Train from the start; return the runner."""
    runner = Runner.from_cfg(config(folder, **more))
    runner.train()
    return runner


def kill(folder, after, custom_hooks=(), **more):
    """Train until an exception after some iterations; return the path of the latest checkpoint."""
    with pytest.raises(Killed):
        train(folder, custom_hooks=[*custom_hooks, dict(type='ResumeTableKill', after=after)], **more)
    return (folder / 'last_checkpoint').read_text()


def resume(killed, folder, checkpoint, **more):
    """Resume as ``tools/train.py --resume`` in a copy of a folder, without the checks of the data."""
    shutil.copytree(killed, folder)
    cfg = config(folder, **more)
    assert train_tool.resume(cfg, 'auto') == [] and cfg.load_from == checkpoint
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def bits(value):
    """Convert a nested value to comparable types, names and bytes."""
    kind = type(value).__name__
    if isinstance(value, Tensor):
        return kind, str(value.dtype), bits(value.detach().float().numpy())  # no case has float64
    if isinstance(value, np.ndarray):
        return kind, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return kind, [(bits(name), bits(dict.get(value, name))) for name in value]
    if isinstance(value, (list, tuple, deque)):
        return kind, [bits(part) for part in value]
    if isinstance(value, (FunctionType, MethodType)):
        return value.__qualname__
    return (kind, bits(vars(value))) if isinstance(value, (HistoryBuffer, Namespace)) else (kind, value)


def state(runner):
    """Return, by name, all state that must be equal in a resumed and an uninterrupted run."""
    hub = runner.message_hub
    logs = {name: log for name, log in hub.log_scalars.items() if not re.search('time|memory', name)}
    paths = 'cfg', 'experiment_name', 'last_ckpt', 'best_ckpt'
    info = {name: value for name, value in hub.runtime_info.items() if name not in paths}
    schedulers = runner.param_schedulers
    schedulers = schedulers if isinstance(schedulers, dict) else {'': schedulers}
    averages = [hook.ema_model.state_dict() for hook in runner.hooks if isinstance(hook, EMAHook)]
    return dict(
        weights=bits(runner.model.state_dict()), optimizer=bits(runner.optim_wrapper.state_dict()),
        averages=bits(averages),
        schedulers=bits({name: [one.state_dict() for one in some] for name, some in schedulers.items()}),
        logs=sorted(bits(logs)[1]), info=sorted(bits(info)[1], key=repr), place=(runner.iter, runner.epoch))


def says(runner):
    """Return the log of a run."""
    return ''.join(path.read_text() for path in Path(runner.work_dir).glob(f'{runner.timestamp}/*.log'))


def check(tmp_path, after=2, **more):
    """Run a case: uninterrupted; stopped after some iterations; resumed by our tools; resumed by mmengine.

    Args:
        after (int): Iterations before the run is killed.

    Returns:
        list[Runner]: All of them but the killed one.
    """
    whole = train(tmp_path / 'whole', **more)
    expected = state(whole)
    checkpoint = kill(tmp_path / 'killed', after, **more)
    assert torch.load(checkpoint, weights_only=True)['meta']['iter'] <= after
    with checkpoints_as_data():
        ours = resume(tmp_path / 'killed', tmp_path / 'ours', checkpoint, **more)
        compare(expected, ours)
    mmengines = resume(tmp_path / 'killed', tmp_path / 'mmengine', checkpoint, **more)
    compare(expected, mmengines)
    return [whole, ours, mmengines]


def compare(expected, runner):
    """Compare a resumed run with an uninterrupted run of the same data set."""
    for name, value in state(runner).items():
        assert value == expected[name], name
    assert 'dataset metainfo from the resumed checkpoint is different' not in says(runner)


# Settings by the first part of a scheduler's name.
FAMILIES = dict(
    Constant=dict(factor=0.5, end=3), CosineAnnealing=dict(T_max=4), Exponential=dict(gamma=0.5),
    CosineRestart=dict(periods=[2, 3], restart_weights=[1, 0.5], eta_min=0), Linear=dict(start_factor=0.1, end=3),
    MultiStep=dict(milestones=[1, 3, 3], gamma=0.5), OneCycle=dict(eta_max=0.5, total_steps=6),
    Poly=dict(power=0.9, end=5), Step=dict(step_size=2, gamma=0.5),
    PolyLRRatio=dict(eta_min_ratio=0.1, power=0.9, end=5),
    ReduceOnPlateau=dict(monitor='error', patience=0, threshold=9., threshold_rule='abs'))  # the first is the best
SCHEDULERS = sorted({*PARAM_SCHEDULERS.module_dict, *MMSEG_PARAM_SCHEDULERS.module_dict})
# mmengine saves before it validates, so a resumed run lacks the changes of that validation.
VALIDATED = {'validated': True, 'train_cfg.val_interval': 3, 'train_cfg.max_iters': 7, 'after': 5}
EPOCHS = {'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=100), 'after': 6,
          'default_hooks.checkpoint': dict(interval=1, by_epoch=True),
          'train_dataloader.sampler.type': 'DefaultSampler'}


def family(name):
    return name if name in FAMILIES else re.sub('(LR|Momentum|ParamScheduler)$', '', name)


def scheduled(name, **more):
    """Return the config of a run with a scheduler; a scheduler of any parameter changes the weight decay."""
    if name.endswith('ParamScheduler'):
        more['param_name'] = 'lr' if name.startswith('OneCycle') else 'weight_decay'
    if family(name) == 'ReduceOnPlateau':
        base = VALIDATED
    else:
        base, more = {}, dict(by_epoch=False, **more) if 'by_epoch' not in more else more
    return {**base, 'optim_wrapper.optimizer.weight_decay': 0.01,
            'param_scheduler': [dict(type=name, **{**FAMILIES[family(name)], **more})]}


def test_there_are_settings_for_all_schedulers():
    assert {*map(family, SCHEDULERS)} == set(FAMILIES) and len(SCHEDULERS) >= 30


FAST = 'MultiStepLR', 'OneCycleLR', 'ReduceOnPlateauMomentum', 'PolyLR'


@pytest.mark.parametrize('name', [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULERS])
def test_schedulers(tmp_path, name):
    whole, *_ = check(tmp_path, **scheduled(name))
    scheduler, = whole.param_schedulers
    group, = (group for group in whole.optim_wrapper.param_groups if 'params' in group and len(group['params']))
    if not name.startswith(('Constant', 'Linear')):  # these have ended
        assert group[scheduler.param_name] != group[f'initial_{scheduler.param_name}']


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted({*FAMILIES} - {'ReduceOnPlateau', 'PolyLRRatio'}))
@pytest.mark.parametrize('convert', [False, True])
def test_schedulers_by_epoch(tmp_path, name, convert):
    steps = dict(Constant=dict(end=1), CosineAnnealing=dict(T_max=2), Linear=dict(end=2), Step=dict(step_size=1),
                 CosineRestart=dict(periods=[1, 1]), OneCycle=dict(total_steps=2), Poly=dict(end=2),
                 MultiStep=dict(milestones=[1])).get(name, {})
    if convert:
        steps['convert_to_iter_based'] = True
    check(tmp_path, **EPOCHS, **scheduled(f'{name}LR', by_epoch=True, **steps))


@pytest.mark.slow
def test_many_schedulers_in_turn(tmp_path):
    names = 'LinearLR', 'PolyLR', 'ExponentialMomentum', 'MultiStepLR', 'StepMomentum'
    check(tmp_path, param_scheduler=[
        dict(type=name, by_epoch=False, begin=begin, **{**FAMILIES[family(name)], 'end': begin + 2})
        for begin, name in enumerate(names)])


# Optimizers with further settings, and optimizers whose requirements are not installed.
OPTIMIZER_SETTINGS = dict(
    LBFGS={'optim_wrapper.optimizer.history_size': 2, 'optim_wrapper.optimizer.max_iter': 3, 'model.kind': 'closure'},
    Muon={'model.kind': 'matrix'}, SparseAdam={'model.kind': 'sparse'})
OTHER_OPTIMIZERS = dict(Optimizer='the base class', ZeroRedundancyOptimizer='shards its state among processes')
TORCH_OPTIMIZERS = sorted(name for name, kind in OPTIMIZERS.module_dict.items()
                          if kind.__module__.startswith('torch.optim') and name not in OTHER_OPTIMIZERS)


def test_there_are_rows_for_all_optimizers():
    others = set(OPTIMIZERS.module_dict) - set(TORCH_OPTIMIZERS) - set(OTHER_OPTIMIZERS)
    assert not {name for name in others if OPTIMIZERS.module_dict[name].__module__.startswith('torch')}
    assert len(TORCH_OPTIMIZERS) >= 13


@pytest.mark.parametrize('name', [
    name if name == 'AdamW' else pytest.param(name, marks=pytest.mark.slow) for name in TORCH_OPTIMIZERS])
def test_optimizers(tmp_path, name):
    whole, *_ = check(tmp_path, **{
        'optim_wrapper.optimizer': dict(_delete_=True, type=name, lr=0.1), **OPTIMIZER_SETTINGS.get(name, {})})
    assert name == 'SGD' or whole.optim_wrapper.optimizer.state


@pytest.mark.slow
@pytest.mark.parametrize('settings', [
    dict(type='SGD', nesterov=True, weight_decay=0.1), dict(type='AdamW', amsgrad=True),
    dict(type='Adam', foreach=True), dict(type='RMSprop', centered=True), dict(type='Adagrad', lr_decay=0.1),
    dict(type='AdamW', betas=(0.5, 0.6), maximize=True)], ids=str)
def test_settings_of_optimizers(tmp_path, settings):
    momentum = dict(momentum=0.9) if settings['type'] in ('SGD', 'RMSprop') else {}
    check(tmp_path, **{'optim_wrapper.optimizer': dict(_delete_=True, lr=0.1, **momentum, **settings)})


OTHER_WRAPPERS = dict(ApexOptimWrapper='apex', ColossalAIOptimWrapper='colossalai', DeepSpeedOptimWrapper='deepspeed')


class TestWrappers:

    def test_there_are_rows_for_all(self):
        assert set(OPTIM_WRAPPERS.module_dict) - set(OTHER_WRAPPERS) == {'OptimWrapper', 'AmpOptimWrapper'}
        assert not any(map(find_spec, OTHER_WRAPPERS.values())), 'a package is there now, so its wrapper can have a row'

    @pytest.mark.parametrize('settings', [
        dict(accumulative_counts=2, clip_grad=dict(max_norm=0.1)),
        pytest.param(dict(paramwise_cfg=dict(norm_decay_mult=0., custom_keys=dict(linear=dict(lr_mult=0.5)))),
                     marks=pytest.mark.slow)], ids=str)
    def test_settings(self, tmp_path, settings):
        schedulers = [dict(type='MultiStepLR', milestones=[1, 3], by_epoch=False)]
        decay = {'optim_wrapper.optimizer.weight_decay': 0.1}
        check(tmp_path, optim_wrapper=settings, param_scheduler=schedulers, **decay)

    @pytest.mark.slow
    @pytest.mark.parametrize('scale', ['dynamic', 8., dict(init_scale=4., growth_interval=1)], ids=str)
    def test_mixed_precision(self, tmp_path, monkeypatch, scale):
        """On a CPU in bfloat16; torch 2.3 and later scale the loss there, too."""
        monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
        scaled = hasattr(torch.amp, 'GradScaler')
        if scaled:
            monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
        _, ours, _ = check(tmp_path, optim_wrapper=dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=scale))
        assert bool(ours.optim_wrapper.state_dict()['loss_scaler']) == scaled

    def test_two_optimizers(self, tmp_path):
        schedulers = dict(linear=[dict(type='MultiStepLR', milestones=[1, 3], by_epoch=False)],
                          norm=[dict(type='OneCycleLR', eta_max=0.5, total_steps=6, by_epoch=False)])
        check(tmp_path, **{'optim_wrapper': dict(_delete_=True, constructor='ResumeTablePair'), 'model.kind': 'pair',
                           'param_scheduler': schedulers})


AVERAGES = sorted(name for name, kind in MODELS.module_dict.items()
                  if issubclass(kind, BaseAveragedModel) and kind is not BaseAveragedModel)
# Hooks of both stacks that store nothing in checkpoints and have requirements that are not installed.
OTHER_HOOKS = dict(NPUProfilerHook='a NPU', NaiveVisualizationHook='pictures', SegVisualizationHook='pictures',
                   PrepareTTAHook='a test', RFSearchHook='convolutions')
HOOK_ROWS = dict(
    CheckpointHook={**VALIDATED, 'default_hooks.checkpoint': dict(save_best='error', rule='less', max_keep_ckpts=2)},
    EarlyStoppingHook={**VALIDATED, 'custom_hooks': [
        dict(type='EarlyStoppingHook', monitor='error', rule='less', patience=9)]},
    EmptyCacheHook=dict(custom_hooks=[dict(type='EmptyCacheHook', after_iter=True)]),
    LoggerHook={'default_hooks.logger': dict(interval=2), 'log_processor': dict(
        type='LogProcessor', window_size=2, by_epoch=False, custom_cfg=[
            dict(data_src='loss', log_name='smooth', method_name='mean', window_size=2)])},
    ProfilerHook=dict(custom_hooks=[dict(type='ProfilerHook', by_epoch=False, profile_times=1, activity_with_cuda=False,
                                         on_trace_ready=dict(type='log_trace'))]),
    SyncBuffersHook=dict(custom_hooks=[dict(type='SyncBuffersHook')]))
DEFAULT_HOOKS = {'RuntimeInfoHook', 'IterTimerHook', 'DistSamplerSeedHook', 'ParamSchedulerHook'}  # in every run


class TestHooks:

    def test_there_are_rows_for_all(self):
        known = {name for name, kind in HOOKS.module_dict.items() if kind.__module__.startswith(('mmengine', 'mmcv'))}
        assert known - set(OTHER_HOOKS) == {*HOOK_ROWS, *DEFAULT_HOOKS, 'EMAHook'}
        assert set(MMSEG_HOOKS.module_dict) == {name for name in MMSEG_HOOKS.module_dict if name in OTHER_HOOKS or (
            MMSEG_HOOKS.module_dict[name].__module__.startswith('mmseg_mvp'))}

    @pytest.mark.slow
    @pytest.mark.parametrize('name', HOOK_ROWS)
    def test_hooks(self, tmp_path, name):
        check(tmp_path, **HOOK_ROWS[name])

    @pytest.mark.parametrize('name', [
        name if name == 'StochasticWeightAverage' else pytest.param(name, marks=pytest.mark.slow) for name in AVERAGES])
    def test_averages_of_weights(self, tmp_path, name):
        hook = dict(type='EMAHook', ema_type=name, begin_iter=1, update_buffers=True)
        assert len(AVERAGES) >= 3
        _, ours, _ = check(tmp_path, custom_hooks=[hook])
        average = next(hook for hook in ours.hooks if isinstance(hook, EMAHook)).ema_model
        assert average.steps == 4 and not torch.equal(average.module.linear.weight, ours.model.linear.weight)

    def test_objects_in_the_message_hub(self, tmp_path):
        _, ours, _ = check(tmp_path, custom_hooks=[dict(type='ResumeTableNotes')])
        info = ours.message_hub.runtime_info
        assert info['counter'] == {0: 2, 1: 2} and info['folder'] == Path('a/b/b/b/b')
        assert info['options'] == Namespace(n=4) and info['log'].data[0].tolist() == [1, 2, 3]

    @pytest.mark.slow
    def test_epochs(self, tmp_path):
        check(tmp_path, custom_hooks=[dict(type='ResumeTableNotes')], **EPOCHS)


# Log writers that need a package or an account, by package.
OTHER_BACKENDS = dict(
    AimVisBackend='aim', ClearMLVisBackend='clearml', DVCLiveVisBackend='dvclive', MLflowVisBackend='mlflow',
    NeptuneVisBackend='neptune', TensorboardVisBackend='tensorboard', WandbVisBackend='wandb')


def test_there_are_rows_for_all_writers_of_logs():
    assert set(VISBACKENDS.module_dict) == {'LocalVisBackend', *OTHER_BACKENDS}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['LocalVisBackend', *(
    ['TensorboardVisBackend'] if find_spec('tensorboard') or find_spec('tensorboardX') else [])])
def test_writers_of_logs(tmp_path, name):
    check(tmp_path, visualizer=dict(type='Visualizer', vis_backends=[dict(type=name)], name=f'{name} {tmp_path}'))


OBJECTS = dict(
    settings=ConfigDict(a=1, b=ConfigDict(c=[ConfigDict(d='x')])), path=Path('/data'), range=range(19),
    frozenset=frozenset(map(str, range(30))), array=np.arange(6, dtype='u1').reshape(2, 3), names=np.array(['a', 'bc']),
    fortran=np.asfortranarray(np.eye(3)), number=np.int64(3), datetime=datetime(2026, 1, 2), date=date(2026, 1, 2),
    options=Namespace(a=1, b=Path('x')), by_name=defaultdict(list, a=[1]), counter=Counter('aab'), deque=deque([1], 3),
    pairs={(0, 0, 0): 'void', (1, 2, 3): 'road'}, tensor=torch.ones(2), bytes=b'\xff', point=Point(1, 2),
    dtype=torch.float16, slice=slice(1, 3), shared=[SHARED := ('a', ['b', 1]), SHARED, ''.join(['a'])])
META = dict(classes=('wall', 'floor'), palette=[[0, 0, 0], [1, 1, 1]], label_map=None, reduce_zero_label=False)


@pytest.fixture
def metainfo():
    METAINFO.update(META)
    yield METAINFO
    METAINFO.clear()


class TestDataSets:

    def test_all_objects_at_once(self, tmp_path, metainfo):
        metainfo.update(OBJECTS)
        check(tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize('name', OBJECTS)
    def test_an_object(self, tmp_path, metainfo, name):
        metainfo.update({name: OBJECTS[name], 'nested': [(OBJECTS[name], )]})
        check(tmp_path)

    @pytest.mark.slow
    def test_plain_values(self, tmp_path, metainfo):
        check(tmp_path)

    def test_a_function_is_built_anew(self, tmp_path, metainfo):
        metainfo['reader'] = np.mean
        check(tmp_path)

    def test_another_data_set_is_told(self, tmp_path, metainfo):
        metainfo['root'] = Path('/a')
        checkpoint = kill(tmp_path / 'killed', 2)
        metainfo['root'] = Path('/b')
        with checkpoints_as_data():
            ours = resume(tmp_path / 'killed', tmp_path / 'ours', checkpoint)
        for runner in (ours, resume(tmp_path / 'killed', tmp_path / 'mmengine', checkpoint)):
            assert 'dataset metainfo from the resumed checkpoint is different' in says(runner)

    def test_another_order_of_a_set_is_no_other_data_set(self, tmp_path, metainfo):
        """Simulate another process, in which strings have other hashes."""
        metainfo['set'] = frozenset([0, 8, 16, 24])
        checkpoint = kill(tmp_path / 'killed', 2)
        metainfo['set'] = frozenset([24, 16, 8, 0])
        assert list(metainfo['set']) != list(frozenset([0, 8, 16, 24]))
        with checkpoints_as_data():
            assert 'dataset metainfo' not in says(resume(tmp_path / 'killed', tmp_path / 'ours', checkpoint))


class TestCheckpointsOfMmengine:
    """Checkpoints of mmengine's own hook, which writes objects and functions."""

    @staticmethod
    def check(tmp_path, trusted=False, after=2, **more):
        """Resume a run of mmengine's hook by our tools, with that hook and with ours; return the latter."""
        expected = state(train(tmp_path / 'whole', **more))
        checkpoint = kill(tmp_path / 'killed', after, **{**more, 'default_hooks.checkpoint.type': 'CheckpointHook'})
        runners = []
        for hook in ('CheckpointHook', 'AtomicCheckpointHook'):
            with checkpoints_as_data(trusted):
                runners.append(resume(tmp_path / 'killed', tmp_path / hook, checkpoint,
                                      **{**more, 'default_hooks.checkpoint.type': hook}))
            for name, value in state(runners[-1]).items():
                assert value == expected[name], (hook, name)
        return runners[-1]

    @pytest.mark.parametrize('name', [
        name if name in FAST[:2] else pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULERS])
    def test_schedulers(self, tmp_path, name):
        self.check(tmp_path, **scheduled(name))

    @pytest.mark.slow
    @pytest.mark.parametrize('name', OBJECTS)
    def test_metainfo(self, tmp_path, metainfo, name):
        """Omitted objects make mmengine report another data set."""
        metainfo[name] = OBJECTS[name]
        log = says(self.check(tmp_path, log_level='INFO'))
        assert 'dataset metainfo from the resumed' not in log or f'omitted: meta.dataset_meta.{name}' in log or (
            name == 'by_name')

    @pytest.mark.slow
    def test_averages_of_weights(self, tmp_path):
        self.check(tmp_path, custom_hooks=[dict(type='EMAHook')])

    @pytest.mark.slow
    def test_objects_in_the_message_hub_of_a_trusted_one(self, tmp_path):
        self.check(tmp_path, trusted=True, custom_hooks=[dict(type='ResumeTableNotes')])
