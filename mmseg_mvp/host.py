"""The host stack: which distributions may provide it, in which versions, and one sentence when they don't."""
from collections.abc import Callable
from importlib import metadata

from packaging.specifiers import SpecifierSet

from .errors import UserError

INSTALL = 'pip install -e ".[host]" -c requirements/tested.txt'

# module -> {distribution that provides it: supported versions}; the maintained distribution comes first.
SUPPORTED = {
    'torch': {'torch': '>=2.0'},
    'open_clip': {'open_clip_torch': '>=3.3,<4'},
    'mmcv': {'onedl-mmcv': '>=2.3.6,<3', 'mmcv': '>=2.1.0,<2.2.0'},
    'mmengine': {'onedl-mmengine': '>=0.10.12,<1', 'mmengine': '>=0.10.7,<1'},
    'mmseg': {'onedl-mmsegmentation': '>=1.4.2,<2', 'mmsegmentation': '>=1.2.2,<2'},
}


class HostError(UserError):
    """A package that MMSeg-MVP stands on is missing, of an unsupported version, or installed twice.

    Not an ImportError on purpose: mmengine's `custom_imports` replaces every ImportError by advice on PYTHONPATH, which
    would bury the sentence that helps.
    """


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_module(module: str, version_of: Callable[[str], str | None]) -> str | None:
    """What is wrong with the distribution behind `module`, as half a sentence; None when it is fine."""
    ranges = SUPPORTED[module]
    found = {name: version for name in ranges if (version := version_of(name)) is not None}
    if not found:
        return f'{module} is not installed'
    if len(found) > 1:
        both = ' and '.join(f'{name} {version}' for name, version in found.items())
        return f'{module} is installed twice ({both}, which overwrite each other\'s files: uninstall both first)'
    (name, version), = found.items()
    if not SpecifierSet(ranges[name]).contains(version, prereleases=True):
        return f'{name} is {version}, but {ranges[name]} is supported'
    return None


def check_host(version_of: Callable[[str], str | None] = installed_version) -> None:
    """Check torch, open_clip, mmcv, mmengine and mmseg by their installed metadata, importing none of them.

    Args:
        version_of: Tells the version of a distribution, or None where it is not installed.

    Raises:
        HostError: In one sentence, everything that is missing, too old, too new or installed twice, and the pip line.
    """
    faults = [fault for module in SUPPORTED if (fault := check_module(module, version_of))]
    if faults:
        raise HostError(f'MMSeg-MVP can\'t start: {"; ".join(faults)}; in its checkout, run: {INSTALL}')
