"""The host: what makes up either mmseg stack, one sentence when an environment has neither, and how they differ."""
from collections.abc import Callable
from importlib import metadata

from packaging.specifiers import SpecifierSet

from .errors import UserError

# distribution -> supported versions. requirements/host.txt and requirements/mminstall.txt install the same.
MAINTAINED = {
    'torch': '>=2.3',
    'open_clip_torch': '>=3.0,<4',
    'onedl-mmcv': '>=2.3.2,<3',
    'onedl-mmengine': '>=0.10.8,<1',
    'onedl-mmsegmentation': '>=1.4.0,<2',
}
UPSTREAM = {
    'torch': '>=2.1,<2.6',  # from 2.6 on mmengine 0.10.7 fails to load its own checkpoints: no --resume, no test
    'numpy': '<2',  # which torch 2.1 and what is compiled against it need
    'open_clip_torch': '>=3.0,<4',
    'mmcv': '>=2.1.0,<2.2.0',
    'mmengine': '>=0.10.7,<1',
    'mmsegmentation': '>=1.2.2,<2',
}
INSTALL = 'pip install -e ".[host]" -c requirements/tested.txt'
INSTALL_UPSTREAM = ('pip install torch torchvision setuptools wheel -c requirements/upstream.txt && '
                    'pip install --no-build-isolation -e . -r requirements/mminstall.txt -c requirements/upstream.txt')


class HostError(UserError):
    """A package that MMSeg-MVP stands on is missing, of an unsupported version, or of the other stack.

    Not an ImportError on purpose: mmengine's `custom_imports` replaces every ImportError by advice on PYTHONPATH, which
    would bury the sentence that helps.
    """


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def find_faults(stack: dict[str, str], version_of: Callable[[str], str | None]) -> dict[str, str]:
    """What is wrong, as half a sentence for each distribution of a stack that is not as it must be."""
    faults = {}
    for name, supported in stack.items():
        version = version_of(name)
        if version is None:
            faults[name] = f'{name} is not installed'
        elif not SpecifierSet(supported).contains(version, prereleases=True):
            faults[name] = f'{name} is {version}, but {supported} is supported'
    return faults


def check_host(version_of: Callable[[str], str | None] = installed_version) -> None:
    """Check torch, open_clip, mmcv, mmengine and mmseg by their installed metadata, importing none of them.

    Args:
        version_of: Tells the version of a distribution, or None where it is not installed.

    Raises:
        HostError: In one sentence, everything that is missing, too old, too new or of both stacks, and the pip line.
    """
    maintained, upstream = ([name for name in stack if 'mm' in name and version_of(name)]
                            for stack in (MAINTAINED, UPSTREAM))
    if maintained and upstream:
        both = maintained + upstream
        raise HostError(f"MMSeg-MVP can't start: parts of two mmseg stacks are installed ({', '.join(both)}), which "
                        f"overwrite each other's files; in its checkout, run: "
                        f"pip uninstall {' '.join(both)} && {INSTALL}")
    stack, install = (UPSTREAM, INSTALL_UPSTREAM) if upstream else (MAINTAINED, INSTALL)
    faults = find_faults(stack, version_of)
    if upstream and 'torch' in faults:  # mmcv was compiled for this torch: rather another mmseg than another torch
        install = f'pip uninstall {" ".join(upstream)} && {INSTALL}'
    if faults:
        raise HostError(f'MMSeg-MVP can\'t start: {"; ".join(faults.values())}; in its checkout, run: {install}')


def swaps_channels(data_preprocessor: object) -> bool:
    """Whether mmseg's `SegDataPreProcessor` turns BGR into RGB or back: the stacks name the attribute otherwise."""
    name = 'channel_conversion' if hasattr(data_preprocessor, 'channel_conversion') else '_channel_conversion'
    return getattr(data_preprocessor, name)
