"""Names of the pictures that a test writes, one for each sample of a data set."""
import os
import re
from collections.abc import Iterator, Sequence
from itertools import count

from mmseg.structures import SegDataSample

from mmseg_mvp.vocabularies import load_vocabulary

from .checks import leaf_datasets

Key = tuple[str, str]  # image path and, for an episode, class


class PictureNames:
    """File names without extension for the samples of a data set, equal in all processes.

    A sample is named by its image, ``IMAGE``, or by image and class, ``IMAGE__CLASS``, if it is an episode. If two
    names of the data set are equal, all samples are named by their path below the common folder, ``FOLDER/IMAGE``. If
    two of these are equal as well, such as ``x.jpg`` and ``x.png``, the names keep the suffix, ``FOLDER/x.jpg``. Names
    that differ only in case are equal, since some file systems do not distinguish them.

    Args:
        dataset (object): Data set, or a wrapper of several. Data sets without a list of images are named sample by
            sample.
    """

    def __init__(self, dataset: object) -> None:
        keys = list(dict.fromkeys(_keys(dataset)))
        self.names = dict(zip(keys, distinct_names(keys)))
        self.taken = {name.lower() for name in self.names.values()}

    def __call__(self, sample: SegDataSample, index: int) -> str:
        """Return the name of a sample; ``index`` is its position in the data set, for a sample without image path."""
        path, label = key = _key(sample.metainfo)
        if not path:
            return f'{index:06d}'
        if key not in self.names and (path, '') in self.names:
            return f'{self.names[path, ""]}__{file_name(label)}'
        if key not in self.names:
            self.names[key] = next(name for name in _numbered(_plain(key)) if name.lower() not in self.taken)
            self.taken.add(self.names[key].lower())
        return self.names[key]


def distinct_names(keys: Sequence[Key]) -> list[str]:
    """Return one name for each key; keys are distinct."""
    root = _common_folder([path for path, _ in keys])
    kinds = (_plain, lambda key: _below(key, root), lambda key: _below(key, root, suffix=True))
    for kind in kinds:
        names = [kind(key) for key in keys]
        if len({name.lower() for name in names}) == len(names):
            return names
    return [f'{name}_{number}' for number, name in enumerate(names)]  # names differ in replaced characters


def file_name(text: str) -> str:
    """Replace all characters except letters, digits, '_', '.' and '-' by underscores."""
    return re.sub(r'[^\w.-]+', '_', text)


def _keys(dataset: object) -> Iterator[Key]:
    for leaf in leaf_datasets(dataset):
        if hasattr(leaf, 'get_data_info'):
            yield from (key for key in map(_key, map(leaf.get_data_info, range(len(leaf)))) if key[0])


def _key(info: dict) -> Key:
    """Return the image path of a sample, or '', and the class of an episode, or ''."""
    names = list(load_vocabulary(info['vocabulary'])) if info.get('vocabulary') else []
    return str(info.get('img_path') or ''), names[1] if len(names) == 2 else ''


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f'{name}_{number}' for number in count(2))


def _common_folder(paths: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    except ValueError:  # no path, or several drives
        return ''


def _plain(key: Key) -> str:
    path, label = key
    stem = os.path.splitext(os.path.basename(path))[0]
    return file_name(f'{stem}__{label}' if label else stem)


def _below(key: Key, root: str, suffix: bool = False) -> str:
    path, label = key
    below = os.path.relpath(os.path.abspath(path), root) if root else os.path.splitdrive(path)[1]
    below = below if suffix else os.path.splitext(below)[0]
    return '/'.join(map(file_name, filter(None, re.split(r'[\\/]', f'{below}__{label}' if label else below))))
