"""Supported mmseg stacks: check of the installed versions, and their differences."""
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from packaging.specifiers import SpecifierSet

from .errors import UserError

# Supported versions by distribution, equal to requirements/host.txt and requirements/mminstall.txt.
MAINTAINED = {
    'torch': '>=2.3',
    'open_clip_torch': '>=3.0,<4',
    'onedl-mmcv': '>=2.3.2,<3',
    'onedl-mmengine': '>=0.10.8,<1',
    'onedl-mmsegmentation': '>=1.4.0,<2',
}
UPSTREAM = {
    'torch': '>=2.1,<2.6',  # with 2.6 or newer, mmengine 0.10.7 cannot load its own checkpoints
    'numpy': '<2',  # required by torch 2.1 and packages compiled with it
    'open_clip_torch': '>=3.0,<4',
    'mmcv': '>=2.1.0,<2.2.0',
    'mmengine': '>=0.10.7,<1',
    'mmsegmentation': '>=1.2.2,<2',
}
INSTALL = 'pip install -e ".[host]" -c requirements/tested.txt'
INSTALL_PACKAGES = ' '.join(['pip install', *(f'"{name}{versions}"' for name, versions in MAINTAINED.items())])
INSTALL_UPSTREAM = ('pip install torch torchvision setuptools wheel -c requirements/upstream.txt && '
                    'pip install --no-build-isolation -e . -r requirements/mminstall.txt -c requirements/upstream.txt')


IN_CHECKOUT = not Path(__file__).with_name('.mim').is_dir()  # a wheel lays configs and tools there
# Advice for the maintained stack. A wheel has no requirements files.
MAINTAINED_ADVICE = f'in its checkout, run: {INSTALL}' if IN_CHECKOUT else f'run: {INSTALL_PACKAGES}'


class HostError(UserError):
    """Error for a required package that is missing, has an unsupported version, or belongs to the other stack.

    It is not an ImportError, because mmengine's `custom_imports` replaces any ImportError by advice on PYTHONPATH.
    """


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, else None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def find_faults(stack: dict[str, str], version_of: Callable[[str], str | None]) -> dict[str, str]:
    """Find missing or unsupported distributions of a stack. The values are descriptions for an error message."""
    faults = {}
    for name, supported in stack.items():
        version = version_of(name)
        if version is None:
            faults[name] = f'{name} is not installed'
        elif not SpecifierSet(supported).contains(version, prereleases=True):
            faults[name] = f'{name} is {version}, but {supported} is supported'
    return faults


def check_host(version_of: Callable[[str], str | None] = installed_version) -> None:
    """Check the installed versions of torch, open_clip, mmcv, mmengine and mmseg without importing them.

    ``version_of`` returns the version of a distribution, or None if it is not installed.

    Raises:
        HostError: If distributions are missing, unsupported or from both stacks, with a pip command.
    """
    maintained, upstream = ([name for name in stack if 'mm' in name and version_of(name)]
                            for stack in (MAINTAINED, UPSTREAM))
    if maintained and upstream:
        both = maintained + upstream
        raise HostError(f"MMSeg-MVP can't start: parts of two mmseg stacks are installed ({', '.join(both)}), which "
                        f"overwrite each other's files; {after_uninstall(both)}")
    faults = find_faults(UPSTREAM if upstream else MAINTAINED, version_of)
    advice = f'in its checkout, run: {INSTALL_UPSTREAM}' if upstream else MAINTAINED_ADVICE
    if upstream and 'torch' in faults:  # mmcv is compiled for this torch, so change mmseg
        advice = after_uninstall(upstream)
    if faults:
        raise HostError(f'MMSeg-MVP can\'t start: {"; ".join(faults.values())}; {advice}')


def extra_advice(extra: str) -> str:
    """Return the advice to install an extra, such as ``'web'``; a wheel names its packages."""
    if IN_CHECKOUT:
        return f'in the checkout, run: pip install -e ".[{extra}]" -c requirements/tested.txt'
    wanted = [one.replace("'", '"').split(';') for one in metadata.requires('mmseg-mvp')]
    return ' '.join(['run: pip install', *(f'"{name.strip()}"' for name, *when in wanted
                                           if f'extra == "{extra}"' in ''.join(when))])


def after_uninstall(names: list[str]) -> str:
    """Return the advice to replace distributions by the maintained stack."""
    return MAINTAINED_ADVICE.replace('pip install', f'pip uninstall {" ".join(names)} && pip install')


def swaps_channels(data_preprocessor: object) -> bool:
    """Return True if mmseg's `SegDataPreProcessor` swaps BGR and RGB. The attribute name differs between stacks."""
    name = 'channel_conversion' if hasattr(data_preprocessor, 'channel_conversion') else '_channel_conversion'
    return getattr(data_preprocessor, name)


class _WithoutNotices:
    """Text stream that passes everything on, except the notices of mmseg about an optional package."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._dropped = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, unless it is a notice or the end of the line of one."""
        self._dropped, after_notice = text == 'Could not import OneDL', self._dropped
        if self._stream and not (self._dropped or after_notice and text == '\n'):  # Windows may have no stdout
            self._stream.write(text)
        return len(text)


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Hide what mmseg and mmcv print about optional packages when they are imported first."""
    with redirect_stdout(_WithoutNotices(sys.stdout)), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
        yield
