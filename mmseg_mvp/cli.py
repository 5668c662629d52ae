"""What the command line tools share: arguments, configs, and a user's mistake told in one sentence."""
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

# Top-level keys that a config may lack although something reads them.
KNOWN_KEYS = {*inspect.signature(Runner.__init__).parameters, 'custom_imports', 'runner_type', 'tta_model',
              'tta_pipeline', 'model_wrapper_cfg', 'find_unused_parameters', 'sync_bn'}


class OptionsAction(DictAction):
    """`--cfg-options KEY=VALUE ...` that keeps the blanks in a path or a name; malformed pairs are a UserError."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, RecursionError) as error:
            raise UserError(f'{option_string} {" ".join(values)} is not a list of KEY=VALUE pairs with balanced '
                            'brackets, such as train_dataloader.batch_size=4') from error

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """The value as mmengine reads it, which drops all blanks, not only those beside commas and brackets."""
        held = re.sub(r'\s*([,()\[\]])\s*', r'\1', val.strip()).replace(' ', '\0')  # no argument can hold a \0
        return _with_blanks(DictAction._parse_iterable(held))


def _with_blanks(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_blanks, value))
    return value.replace('\0', ' ') if isinstance(value, str) else value


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of both tools, named as in MMSegmentation."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: ./work_dirs/CONFIG_NAME)')
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
    """Read the config of the command line and lay the command line's settings over it.

    Raises:
        UserError: The file is missing or can't be parsed, or `--cfg-options` don't fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    merge_options(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'./work_dirs/{Path(args.config).stem}'
    return cfg


def read_config(path: str) -> Config:
    """Read a config file.

    Raises:
        UserError: The file is missing or can't be parsed.
    """
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise UserError(f'config {path} does not exist; the shipped ones are configs/*/*.py of the checkout')
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'config {path} can\'t be read: {describe(root_cause(error))}') from error


def merge_options(cfg: Config, options: dict) -> None:
    """Lay `--cfg-options` over a config, in place.

    Raises:
        UserError: A key begins with a name that neither the config nor mmengine's Runner knows, or goes through a value
            that has no keys.
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
    """Refuse a result folder that holds files already, so that nothing is overwritten.

    Raises:
        UserError: `path` is a file, or a folder that is not empty.
    """
    folder = Path(path)
    if os.path.isfile(path) or os.path.isdir(path) and any(folder.iterdir()):
        raise UserError(f'{flag} {path} exists and is not an empty folder; name a new one, nothing is overwritten')


def check_checkpoint(path: str) -> None:
    """Refuse a checkpoint that is not there or not whole, before anything is built.

    Raises:
        UserError: The file is missing, or torch.save has not written it to its end.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise UserError(f'checkpoint {path} does not exist')
    if not is_checkpoint(path):
        raise UserError(f'checkpoint {path} ({Path(path).stat().st_size} bytes) is truncated or was not written by '
                        'torch.save; copy or train it again')


def evaluators(cfg: Config) -> list[dict]:
    """The metrics of a test, of which a config gives none, one or a list."""
    metrics = cfg.get('test_evaluator') or []
    return metrics if isinstance(metrics, list) else [metrics]


def build_runner(cfg: Config, loaders: Sequence[str]) -> Runner:
    """Check that the data is there that the named data loaders of the config read, then build the Runner.

    Without CUDA the config is adapted first (`without_cuda.adapt`), and the log says how.

    Raises:
        UserError: Data is missing, with the expected tree, or the checkpoint that ``load_from`` names; or a component
            refuses its settings.
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
    """What all processes of torchrun have got, in their order, once the last one is ready.

    torchrun stops the others when one fails, so none may end with an exit code of its own before. Processes that
    something else started, or one alone, don't know of each other and get their own.

    Args:
        value: Anything that can be pickled.

    Returns:
        list: One value a process.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return [value]
    distributed.init_process_group('gloo', timeout=timedelta(days=30))  # one may have much more to do than another
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    disconnect()
    return values


def disconnect() -> None:
    """Leave the other processes, if there are any, when all of them are done.

    A process that is gone too early takes the others' connections away. gloo's threads free the tensors exchanged, and
    one that does so while Python ends aborts the process after its work is done. They end with the process group, which
    DistributedDataParallel holds on to, as do the Runner's reference cycles to that.
    """
    if distributed.is_initialized():
        distributed.barrier()
        gc.collect()
        distributed.destroy_process_group()


def root_cause(error: BaseException) -> BaseException:
    """The exception that started a chain of re-raised ones."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def describe(error: BaseException) -> str:
    """Kind and text of an exception on one line (a KeyError's text comes quoted, so its argument is taken)."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(f'{type(error).__name__}: {text}'.split())


def user_sentence(error: BaseException) -> str | None:
    """The sentence for the user behind an exception, or None where the exception is a defect of the program.

    A UserError from a DataLoader's worker arrives with the worker's traceback as its text; the sentence is what follows
    the exception's name on that traceback's last line. A TypeError or KeyError raised by mmengine's `build_from_cfg`
    itself, not by what it builds, is a config that names an unknown component or an argument that a component lacks. A
    full disk may be met by whatever writes: a log, a picture.
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
    """Print a user's mistake as `error: SENTENCE` on stderr and exit with code 2; let defects through."""
    try:
        yield
    except Exception as error:
        sentence = user_sentence(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr)
        raise SystemExit(2) from None
