"""Configs, tools and published figures that ship with the package, and short names of the configs."""
import difflib
import os
from pathlib import Path

from mmseg_mvp.errors import UserError
from mmseg_mvp.host import IN_CHECKOUT

_MIM = Path(__file__).resolve().parents[1] / '.mim'
ROOT = _MIM.parents[1] if IN_CHECKOUT else _MIM  # holds configs/ and tools/
DOCS = ROOT / 'docs' if IN_CHECKOUT else Path('work_dirs/docs')  # where studies and benchmarks write their pages


def config_names() -> list[str]:
    """Return the short names of the shipped configs, such as ``mvp_seg/voc_zs``."""
    folder = ROOT / 'configs'
    return sorted(path.relative_to(folder).with_suffix('').as_posix() for path in folder.glob('[!_]*/*.py'))


def find_config_file(name: str) -> str:
    """Return the path of a config: the file of this name, else the shipped config of this short name.

    ``mvp_seg/voc_zs``, ``mvp_seg/voc_zs.py`` and ``configs/mvp_seg/voc_zs.py`` name the same shipped config.

    Raises:
        UserError: If there is neither; the message names a similar shipped config.
    """
    if os.path.isfile(name):  # Path.is_file raises an error if the name is too long
        return name
    short = Path(name).as_posix().removeprefix('configs/').removesuffix('.py')
    names = config_names()
    if short in names:
        return str(ROOT / 'configs' / f'{short}.py')
    near = [one for one in names if one.endswith(f'/{short}')] or difflib.get_close_matches(short, names, 1, .5)
    hint = f'did you mean {" or ".join(near)}? Expected' if near else 'expected'
    raise UserError(f'config {name} does not exist: {hint} a file, or the name of a shipped config such as '
                    'mvp_seg/voc_zs')
