"""Importing the package changes nothing in the host: a fresh process is compared before and after, by value.

Run as a script, this file is that process. Its user has settings unlike the defaults, so that putting one back is seen
as well, and the comparison must see each of them, or it would not see one of ours.
"""
import ast
import atexit
import codecs
import gc
import importlib
import json
import locale
import logging
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmseg_mvp'
IMPORTED = ('mmseg_mvp', 'mmseg_mvp.apis', 'mmseg_mvp.app', 'mmseg_mvp.clip')
HOSTS = ('mmcv', 'mmengine', 'mmseg', 'mmseg.apis', 'open_clip', 'timm', 'torch', 'torchvision', 'cv2', 'PIL.Image',
         'matplotlib', 'numpy', 'mimetypes', 'copyreg', 'encodings')
WEB = ('gradio', 'gradio_client', 'starlette')  # the web page's, which IMPORTED leave alone
KEPT = ('PATH', 'HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'PYTHONPATH', 'LD_LIBRARY_PATH')
PLAIN = (int, float, complex, str, bytes, bool)
CODEC_ERRORS = ('strict', 'ignore', 'replace', 'backslashreplace', 'namereplace', 'xmlcharrefreplace',
                'surrogateescape', 'surrogatepass')
# Components are entered by name there: new ones may come, those that are there stay as they are.
ENTRIES = re.compile(r'\._module_dict\b|^mmengine\.fileio\.(\w+\.)*(backends|prefix_to_backends)\b')
SCHEMES = 'mmengine.runner.checkpoint.CheckpointLoader._schemes'
# Path by which it is seen: a statement of the user's before the import.
SETTINGS = {
    'environment[THE_USERS]': 'os.environ["THE_USERS"] = "own"',
    'sys.path items': 'sys.path.append("/of/the/user")',
    'sys.meta_path items': 'sys.meta_path.append(types.SimpleNamespace(find_spec=lambda *_: None))',
    'sys.excepthook': 'sys.excepthook = lambda *_: None',
    'warnings.filters items': 'importlib.import_module("warnings").simplefilter("ignore", BytesWarning)',
    'loggers[None]': 'logging.getLogger().addHandler(logging.NullHandler())',
    'loggers[mmengine]': 'logging.getLogger("mmengine").setLevel(33)',
    'signals': 'signal.signal(signal.SIGUSR1, signal.SIG_IGN)',
    'locale': 'locale.setlocale(locale.LC_TIME, "C.UTF-8")',
    'recursion limit': 'sys.setrecursionlimit(4321)',
    'random state': 'random.seed(5)',
    'numpy random state': 'numpy.random.seed(5)',
    'torch random state': 'torch.manual_seed(5)',
    'torch default dtype': 'torch.set_default_dtype(torch.float64)',
    'torch threads': 'torch.set_num_threads(torch.get_num_threads() + 1)',
    'torch deterministic': 'torch.use_deterministic_algorithms(True)',
    'torch cudnn': 'torch.backends.cudnn.benchmark = True',
    'torch matmul': 'torch.set_float32_matmul_precision("medium")',
    'torch.load': 'torch.load = lambda *_, **__: None',
    'torch.nn.modules.linear.Linear.extra_repr': 'torch.nn.Linear.extra_repr = lambda self: "the user\'s"',
    'torch.nn.functional.gelu': 'torch.nn.functional.gelu = lambda x: x',
    'cv2.imread': 'cv2.imread = lambda *_: None',
    'cv2': 'cv2.setNumThreads(cv2.getNumThreads() + 1)',
    'mmseg.models.segmentors.base.BaseSegmentor.predict': 'mmseg.models.BaseSegmentor.predict = lambda *_: None',
    'mmengine.registry.default_scope.DefaultScope._instance_dict keys':
        'mmengine.registry.DefaultScope.get_instance("users", scope_name="mmengine")',
    f'{SCHEMES} keys': 'mmengine.runner.CheckpointLoader.register_scheme("users", users_loader)',
    f"{SCHEMES}['http://']": 'mmengine.runner.CheckpointLoader.register_scheme("http://", users_loader, force=True)',
    "mmengine.fileio.backends.registry_utils.backends['users']":
        'mmengine.fileio.register_backend("users", mmengine.fileio.LocalBackend)',
    "mmseg.registry.MODELS._module_dict['Users']":
        'mmseg.registry.MODELS.register_module("Users", module=torch.nn.Identity)',
    'PIL.Image.MAX_IMAGE_PIXELS': 'PIL.Image.MAX_IMAGE_PIXELS = 5',
    'PIL.Image.EXTENSION keys': 'PIL.Image.register_extension("users", ".users")',
    "matplotlib.rcParams['lines.linewidth']": 'matplotlib.rcParams["lines.linewidth"] = 7.5',
    'copyreg.dispatch_table keys': 'copyreg.pickle(types.SimpleNamespace, repr)',
    'mimetypes.types_map keys': 'mimetypes.add_type("image/users", ".users")',
    'codec errors': 'codecs.register_error("namereplace", codecs.ignore_errors)',
    'exit functions': 'atexit.register(int)',
    'threads': 'threading.Thread(target=threading.Event().wait, daemon=True).start()',
    'start method': 'multiprocessing.set_start_method("spawn", force=True)',
    'garbage collection': 'gc.set_threshold(701)',
    'open files': 'opened = open(os.devnull)',
}


def users_loader(filename: str, map_location=None) -> dict:
    return dict(read_by='the user', source=filename)


def preload() -> dict[str, types.ModuleType]:
    """Import all that the package imports from others, so that what this changes is not counted; HOSTS' packages."""
    names = set(HOSTS)
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names |= {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}
    for name in sorted(name for name in names if name.split('.')[0] not in ('mmseg_mvp', *WEB)):
        with suppress(ImportError):  # of a class or a function
            importlib.import_module(name)
    return {name.split('.')[0]: sys.modules[name.split('.')[0]] for name in HOSTS}


def settings() -> dict[str, object]:
    """The settings of a process that no module holds."""
    import cv2
    import numpy
    import torch
    cudnn, state = torch.backends.cudnn, numpy.random.get_state()
    loggers = {None: logging.root, **logging.root.manager.loggerDict}
    return {
        **{f'environment[{key}]': value for key, value in os.environ.items()}, 'folder': os.getcwd(),
        'locale': locale.setlocale(locale.LC_ALL), 'exit functions': atexit._ncallbacks(),
        'signals': tuple(signal.getsignal(number) for number in sorted(signal.valid_signals())),
        **{f'loggers[{name}]': (one.level, one.disabled, one.propagate, tuple(one.handlers), tuple(one.filters))
           for name, one in loggers.items() if isinstance(one, logging.Logger)},
        'recursion limit': sys.getrecursionlimit(), 'switch interval': sys.getswitchinterval(),
        'tracing': (sys.gettrace(), sys.getprofile()), 'threads': threading.active_count(),
        'open files': len(os.listdir('/proc/self/fd')),
        'start method': multiprocessing.get_start_method(allow_none=True),
        'garbage collection': (gc.isenabled(), gc.get_debug(), gc.get_freeze_count(), *gc.get_threshold(),
                               *gc.callbacks),
        'codec errors': tuple(map(codecs.lookup_error, CODEC_ERRORS)), 'random state': random.getstate(),
        'numpy random state': (state[0], state[1].tobytes(), *state[2:]),
        'numpy errors': tuple(numpy.geterr().items()), 'numpy print options': repr(numpy.get_printoptions()),
        'torch random state': torch.get_rng_state().numpy().tobytes(), 'torch default dtype': torch.get_default_dtype(),
        'torch default device': str(torch.empty(0).device),
        'torch threads': (torch.get_num_threads(), torch.get_num_interop_threads()),
        'torch deterministic': (torch.are_deterministic_algorithms_enabled(),
                                torch.is_deterministic_algorithms_warn_only_enabled()),
        'torch cudnn': (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        'torch matmul': (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32),
        'torch modes': (torch.is_grad_enabled(), torch.is_anomaly_enabled(), torch.is_inference_mode_enabled(),
                        torch.is_autocast_enabled(), torch.is_autocast_cpu_enabled()),
        'torch safe classes': tuple(getattr(torch.serialization, 'get_safe_globals', list)()),
        'cv2': (cv2.getNumThreads(), cv2.ocl.useOpenCL(), cv2.useOptimized()),
    }


def modules() -> dict[str, object]:
    """Path to value of all variables of modules, of their classes and of the objects in them."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] in ('mmseg_mvp', '__main__', '__mp_main__'):
            continue
        for key, value in list(getattr(module, '__dict__', {}).items()):
            if key in ('__builtins__', '__warningregistry__'):  # in every module; a cache
                continue
            found[f'{name}.{key}'] = value
            if not isinstance(value, types.ModuleType) and (not isinstance(value, type) or value.__module__ == name):
                found.update((f'{name}.{key}.{inner}', held) for inner, held in attributes(value))
    return found


def attributes(value: object) -> list[tuple[str, object]]:
    """The variables of a class or of an object, without those that it works out when asked."""
    try:
        return list((type if isinstance(value, type) else object).__getattribute__(value, '__dict__').items())
    except AttributeError:
        return []


def snapshot() -> dict[str, object]:
    """Path to value, with the items of containers."""
    caches = {id(held) for held in (sys.modules, sys.path_importer_cache, re._cache, getattr(re, '_cache2', None),
                                    sys.modules['encodings']._cache)}
    return {inner: held for path, value in {**settings(), **modules()}.items()
            for inner, held in ([(path, value)] if id(value) in caches else parts(path, value))}


def parts(path: str, value: object) -> Iterator[tuple[str, object]]:
    """A value, and what it holds now."""
    yield path, value
    if isinstance(value, dict):
        yield f'{path} keys', tuple(dict.keys(value))
        for key, held in list(dict.items(value)):
            yield f'{path}[{repr(key) if isinstance(key, PLAIN) or key is None else f"{type(key)} {id(key)}"}]', held
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield f'{path} items', tuple(value)
    elif isinstance(value, types.FunctionType):
        yield f'{path}()', (value.__code__, value.__defaults__)


def same(before: object, after: object) -> bool:
    """Return True for the same object, for an equal plain value and for a tuple of such."""
    if before is after or type(before) is not type(after):
        return before is after
    if isinstance(before, tuple):
        return len(before) == len(after) and all(map(same, before, after))
    return isinstance(before, PLAIN) and before == after


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Paths whose values differ; of components entered by name, those that are no longer what they were."""
    missing, found = object(), []
    for path in {**before, **after}:
        first, second = before.get(path, missing), after.get(path, missing)
        longer = path.endswith(' keys') and second is not missing and same(first, second[:len(first)])
        if not same(first, second) and not (ENTRIES.search(path) and (first is missing or longer)):
            found.append(path)
    return sorted(found)


def main() -> None:
    """Print which of the user's changes are seen, what differs after the import, and what the user's loader reads."""
    names = {**globals(), **preload()}
    start = snapshot()
    for statement in SETTINGS.values():
        exec(statement, names)
    before = snapshot()
    seen = [path for path in SETTINGS if not same(start.get(path), before.get(path))]
    for name in IMPORTED:
        importlib.import_module(name)
    differ = differences(before, snapshot())
    loaded = names['mmengine'].runner.CheckpointLoader.load_checkpoint('users:some.pth')  # leaves a logger behind
    print(json.dumps(dict(seen=seen, differ=differ, loaded=loaded)))


@pytest.fixture(scope='module')
def told() -> dict:
    """The output of the fresh process. Of this one's environment it has the folders only."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run([sys.executable, __file__], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_import_changes_nothing(told):
    assert told['differ'] == []


@pytest.mark.slow
@pytest.mark.parametrize('path', SETTINGS)
def test_a_change_would_be_seen(told, path):
    assert path in told['seen']


@pytest.mark.slow
def test_a_users_loader_still_reads(told):
    assert told['loaded'] == dict(read_by='the user', source='users:some.pth')


if __name__ == '__main__':
    main()
