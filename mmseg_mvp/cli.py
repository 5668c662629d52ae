"""Functions shared by the command line tools: arguments, configs, and error messages for users."""
import errno
import gc
import inspect
import os
import re
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmseg.registry import RUNNERS
from torch import distributed

from . import without_cuda
from .datasets.checks import check_data
from .errors import UserError
from .unpickling import is_checkpoint

# Top-level keys that --cfg-options may set even if the config has no such key.
KNOWN_KEYS = {*inspect.signature(Runner.__init__).parameters, 'custom_imports', 'runner_type', 'tta_model',
              'tta_pipeline', 'model_wrapper_cfg', 'find_unused_parameters', 'sync_bn'}


class OptionsAction(DictAction):
    """Action of `--cfg-options KEY=VALUE ...` that keeps spaces inside values; malformed pairs raise a UserError."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, RecursionError) as error:
            raise UserError(f'{option_string} {" ".join(values)} is not a list of KEY=VALUE pairs with balanced '
                            'brackets, such as train_dataloader.batch_size=4') from error

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """Parse a value as mmengine does, but drop only spaces next to commas and brackets; mmengine drops all."""
        held = re.sub(r'\s*([,()\[\]])\s*', r'\1', val.strip()).replace(' ', '\0')  # arguments can't contain \0
        return _with_blanks(DictAction._parse_iterable(held))


def _with_blanks(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_blanks, value))
    return value.replace('\0', ' ') if isinstance(value, str) else value


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the arguments shared by the training and test tools, named as in MMSegmentation."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints '
                        '(default: ./work_dirs/FOLDER/NAME for a config FOLDER/NAME.py)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', default={},
                        help='override settings: train_dataloader.batch_size=4 model.test_cfg.crop_size="(64,64)"')
    add_trust_argument(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by older torch launchers')


def add_trust_argument(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read checkpoints as torch.load does, which runs code from them (default: as data)')


def load_config(args: Namespace) -> Config:
    """Read the config of the command line and override it by the command line's settings.

    Raises:
        UserError: If the file is missing or can't be parsed, or `--cfg-options` do not fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    merge_options(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    path = Path(args.config).resolve()
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'./work_dirs/{path.parent.name}/{path.stem}'
    return cfg


def read_config(path: str) -> Config:
    """Read a config file.

    Raises:
        UserError: If the file is missing or can't be parsed.
    """
    if not os.path.isfile(path):  # Path.is_file raises an error if the name is too long
        raise UserError(f'config {path} does not exist; the shipped ones are configs/*/*.py of the checkout')
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'config {path} can\'t be read: {describe(root_cause(error))}') from error


def merge_options(cfg: Config, options: dict) -> None:
    """Override a config by `--cfg-options`, in place.

    Raises:
        UserError: If the first part of a key is unknown to the config and to mmengine's Runner, or a key descends into
            a value without keys.
    """
    for key in options:
        if key.split('.')[0] not in KNOWN_KEYS | cfg.keys():
            raise UserError(f'--cfg-options {key}: there is no {key.split(".")[0]!r} in {cfg.filename}; its settings '
                            f'are {", ".join(sorted(cfg.keys()))}')
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AssertionError, AttributeError) as error:
        raise UserError(f'--cfg-options {" ".join(options)} don\'t fit {cfg.filename}: {describe(error)}') from error


def check_new_folder(path: str, flag: str) -> None:
    """Check that a result folder is new or empty, so that no file is overwritten.

    Raises:
        UserError: If `path` is a file or a folder that is not empty.
    """
    folder = Path(path)
    if os.path.isfile(path) or os.path.isdir(path) and any(folder.iterdir()):
        raise UserError(f'{flag} {path} exists and is not an empty folder; name a new one, nothing is overwritten')


def check_checkpoint(path: str) -> None:
    """Check that a local checkpoint exists and is complete. URLs are not checked.

    Raises:
        UserError: If the file is missing, truncated, or not written by torch.save.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise UserError(f'checkpoint {path} does not exist')
    if not is_checkpoint(path):
        raise UserError(f'checkpoint {path} ({Path(path).stat().st_size} bytes) is truncated or was not written by '
                        'torch.save; copy or train it again')


def evaluators(cfg: Config) -> list[dict]:
    """Return the test metrics of a config as a list; the config may hold none, one or a list."""
    metrics = cfg.get('test_evaluator') or []
    return metrics if isinstance(metrics, list) else [metrics]


def build_runner(cfg: Config, loaders: Sequence[str]) -> Runner:
    """Check the data of the named data loaders, then build the Runner.

    Without CUDA, `without_cuda.adapt` changes the config first, and the changes are logged.

    Raises:
        UserError: If data is missing (the message shows the expected tree), the ``load_from`` checkpoint is missing, or
            a component refuses its settings.
    """
    check_data(cfg, loaders)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not os.path.isfile(os.path.expanduser(weights)):
        raise UserError(f'load_from {weights} does not exist: give a checkpoint to begin from, or leave load_from out')
    notes = without_cuda.adapt(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for note in notes:
        runner.logger.warning(note)
    return runner


def gather(value: Any) -> list:
    """Gather one value per torchrun process, by rank; block until all processes arrive.

    torchrun stops all processes when one fails. Therefore call it before a process exits with an error code. Without
    torchrun, the list holds only the value of this process.

    Args:
        value: Any value that can be pickled.

    Returns:
        list: One value per process.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return [value]
    distributed.init_process_group('gloo', timeout=timedelta(days=30))  # processes may differ much in run time
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    disconnect()
    return values


def disconnect() -> None:
    """Wait for the other processes, then destroy the process group; do nothing in a single process.

    A process that exits too early breaks the connections of the others. gloo's threads free the exchanged tensors. If
    one does so while Python shuts down, it aborts the process. The threads end with the process group.
    DistributedDataParallel keeps a reference to the group, and the Runner's reference cycles keep that object alive.
    """
    if distributed.is_initialized():
        distributed.barrier()
        gc.collect()
        distributed.destroy_process_group()


def root_cause(error: BaseException) -> BaseException:
    """Return the first exception in a chain of exceptions."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def describe(error: BaseException) -> str:
    """Format the type and text of an exception on one line; a KeyError's text is shown without quotes."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(f'{type(error).__name__}: {text}'.split())


def user_sentence(error: BaseException) -> str | None:
    """Return the message for the user, or None if the exception is a defect of the program.

    A UserError from a DataLoader worker has the worker's traceback as its text. The message follows the exception's
    name on the last line of this traceback. A TypeError or KeyError raised by mmengine's `build_from_cfg` itself means
    that the config names an unknown component or argument. A full disk can stop any write, such as a log or a picture.
    """
    if isinstance(error, UserError):
        name = f'{type(error).__module__}.{type(error).__qualname__}: '
        return str(error).rpartition(f'\n{name}')[2].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, (TypeError, KeyError)) and frames and frames[-1].name == 'build_from_cfg':
        return f'the config does not fit its components: {describe(error)}'
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f'the disk is full ({describe(error)}): make room; training goes on with --resume'
    return None


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's mistake as `error: SENTENCE` on stderr and exit with code 2; re-raise other exceptions."""
    try:
        yield
    except Exception as error:
        sentence = user_sentence(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr)
        raise SystemExit(2) from None
