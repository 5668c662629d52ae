"""PASCAL-5i, COCO-20i and FSS-1000: segmentation of one class per image against "others".

Few-shot segmentation is tested in episodes (Shaban et al., BMVC 2017), which are pairs of an image and an unseen class.
LSeg (Li et al., ICLR 2022) uses the pairs of HSNet (Min et al., ICCV 2021) with the class name in place of support
images. The prediction is a decision between "others" and this name.
"""
import os.path as osp
from collections.abc import Collection

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.file_index import FileIndex, first_three
from mmseg_mvp.vocabularies import class_entries, class_names
from mmseg_mvp.vocabularies.parsing import Source

from .episode_lists import Pairs, read_categories, read_coco_lists, read_pascal_list

FOLDS = (0, 1, 2, 3)
NUM_PAPER_EPISODES = 1000


class EpisodeDataset(BaseSegDataset):
    """Base class of data sets of episodes.

    A sample has a ``vocabulary``, ``['others', ENTRY]``, with ENTRY the vocabulary entry of the class. Its
    ``foreground`` is the lowest and highest mask value of the class, which :class:`LoadEpisodeAnnotations` turns into
    label 1. ``metainfo['episode_classes']`` has all classes of the split. All files are local.

    Args:
        list_dir (str): Folder of HSNet's lists, relative to the data root.
        split (str): ``'train'`` or ``'test'``, for FSS-1000 also ``'val'``.
        episodes (str): ``'all'`` takes each pair of the lists once. ``'paper'`` takes the episodes of LSeg's published
            results, for tests only.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        UserError: If an argument is not valid, a list is missing or malformed, a class has no image, or an image or
            mask is missing.
    """

    METAINFO = dict(classes=('others', 'object'), palette=[[0, 0, 0], [220, 60, 40]])
    LISTS = dict(train='trn', test='val')  # HSNet's names of the splits

    def __init__(self, list_dir: str, split: str = 'test', episodes: str = 'all', **kwargs) -> None:
        _check_choice('split', split, self.LISTS)
        _check_choice('episodes', episodes, ('all', 'paper'))
        if split == 'train' and episodes == 'paper':
            raise UserError("episodes is 'paper', which is for tests only, but split is 'train': set episodes='all'.")
        self.list_dir, self.split, self.episodes = list_dir, split, episodes
        if not isinstance(list_dir, str):
            raise UserError(f'list_dir is {list_dir!r}: set it to the folder of the lists, relative to data_root.')
        super().__init__(reduce_zero_label=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the lists, check that all files exist, and select the episodes."""
        pairs, entries = self._read_lists()
        self._check_classes(pairs, entries)
        self._check_files(pairs)
        self._metainfo['episode_classes'] = class_names(list(entries.values()))
        if self.episodes == 'paper':
            pairs = self._paper_episodes(pairs)
        return [self._sample(name, label, entries[label]) for name, label in pairs]

    def _read_lists(self) -> tuple[Pairs, dict[int, str]]:
        """Return all pairs of the split, and the vocabulary entry of each class by label."""
        raise NotImplementedError

    def _foreground(self, label: int) -> tuple[int, int]:
        """Return the lowest and highest mask value of a class. Value 0 is background."""
        return label + 1, label + 1

    def _paper_episodes(self, pairs: Pairs) -> Pairs:
        return pairs

    def _list_path(self, name: str) -> str:
        return osp.join(self.data_root or '', self.list_dir, self.LISTS[self.split] + name)

    def _paths(self, name: str) -> tuple[str, str]:
        return (osp.join(self.data_prefix['img_path'], name + self.img_suffix),
                osp.join(self.data_prefix['seg_map_path'], name + self.seg_map_suffix))

    def _sample(self, name: str, label: int, entry: str) -> dict:
        image, mask = self._paths(name)
        return dict(img_path=image, seg_map_path=mask, vocabulary=['others', entry], foreground=self._foreground(label),
                    reduce_zero_label=False, seg_fields=[])

    def _check_classes(self, pairs: Pairs, entries: dict[int, str]) -> None:
        if without := entries.keys() - {label for _, label in pairs}:
            label = min(without)
            raise UserError(f'Class {label} ({entries[label]!r}) has no image in the lists {self._list_path("")!r} of '
                            f'{type(self).__name__} ({len(without)} such classes): use the original lists of HSNet.')

    def _check_files(self, pairs: Pairs) -> None:
        paths = list(dict.fromkeys(path for name, _ in pairs for path in self._paths(name)))
        if missing := FileIndex().missing(paths):
            raise UserError(f'{len(missing)} of the {len(paths)} images and masks in the lists of '
                            f'{type(self).__name__} are missing: {first_three(missing)}; add the files, or correct '
                            'data_root and data_prefix.')


class FoldDataset(EpisodeDataset):
    """Base class of PASCAL-5i and COCO-20i: one fold of the classes is tested, the others are trained.

    Args:
        fold (int | str): Test fold, 0 to 3. A string can come from the environment.
        vocabulary (Source): All classes in the order of the data set, see
            :func:`mmseg_mvp.vocabularies.load_vocabulary`. ``class_names('voc20')``, for example, gives the original
            names as wordings.
        **kwargs: Arguments of :class:`EpisodeDataset`.

    Raises:
        UserError: If the fold or the number of classes is not valid, or as in :class:`EpisodeDataset`.
    """

    NUM_CLASSES: int

    def __init__(self, fold: int | str, vocabulary: Source, **kwargs) -> None:
        if str(fold) not in map(str, FOLDS):
            raise UserError(f'fold is {fold!r}: it must be 0, 1, 2 or 3; set it in the config, or by the '
                            'environment variable FOLD in shipped configs.')
        self.fold, self.all_entries = int(fold), class_entries(vocabulary)
        if len(self.all_entries) != self.NUM_CLASSES:
            raise UserError(f'The vocabulary of {type(self).__name__} has {len(self.all_entries)} classes: list all '
                            f'{self.NUM_CLASSES} in the order of the data set.')
        super().__init__(**kwargs)

    @classmethod
    def fold_classes(cls, fold: int) -> list[int]:
        """Return the classes of a fold, from 0."""
        raise NotImplementedError

    def _classes(self) -> list[int]:
        tested = self.fold_classes(self.fold)
        return tested if self.split == 'test' else [c for c in range(self.NUM_CLASSES) if c not in tested]

    def _read_lists(self) -> tuple[Pairs, dict[int, str]]:
        return self._read_pairs(), {label: self.all_entries[label] for label in self._classes()}

    def _read_pairs(self) -> Pairs:
        raise NotImplementedError


@DATASETS.register_module()
class PASCAL5iDataset(FoldDataset):
    """PASCAL-5i: 20 classes of VOC in four folds. Fold f tests classes 5f to 5f + 4 (from 0).

    The lists are ``{trn,val}/fold{0,1,2,3}.txt``. Training for fold f reads the lists of the three other folds.
    Episodes ``'paper'`` are entries 0 to 999 of the test list, which is repeated if it is shorter.
    """

    NUM_CLASSES = 20

    def __init__(self, fold: int | str, vocabulary: Source = 'voc20', **kwargs) -> None:
        super().__init__(fold, vocabulary, **kwargs)

    @classmethod
    def fold_classes(cls, fold: int) -> list[int]:
        """Return the five classes of a fold, from 0."""
        return list(range(5 * fold, 5 * fold + 5))

    def _read_pairs(self) -> Pairs:
        folds = [fold for fold in FOLDS if (fold == self.fold) == (self.split == 'test')]
        return [pair for fold in folds
                for pair in read_pascal_list(self._list_path(f'/fold{fold}.txt'), self.fold_classes(fold))]

    def _paper_episodes(self, pairs: Pairs) -> Pairs:
        return [pairs[index % len(pairs)] for index in range(NUM_PAPER_EPISODES)]


@DATASETS.register_module()
class COCO20iDataset(FoldDataset):
    """COCO-20i: 80 classes of COCO in four folds. Fold f tests classes f, f + 4, ..., f + 76 (from 0).

    The files ``{trn,val}/fold{0,1,2,3}.pkl`` (or ``.json``) have the lists of all classes of a split and fold. The 1000
    episodes ``'paper'`` are drawn as in the published test: a class, then one of its images, from NumPy's generator
    with seed 0.
    """

    NUM_CLASSES = 80

    def __init__(self, fold: int | str, vocabulary: Source = 'coco80', **kwargs) -> None:
        super().__init__(fold, vocabulary, **kwargs)

    @classmethod
    def fold_classes(cls, fold: int) -> list[int]:
        """Return the 20 classes of a fold, from 0."""
        return list(range(fold, cls.NUM_CLASSES, len(FOLDS)))

    def _read_pairs(self) -> Pairs:
        lists = read_coco_lists(self._list_path(f'/fold{self.fold}.pkl'), self.NUM_CLASSES)
        return [(name, label) for label in self._classes() for name in lists.get(label, ())]

    def _paper_episodes(self, pairs: Pairs) -> Pairs:
        classes, draw, episodes = self._classes(), np.random.RandomState(0), []
        names = {label: [name for name, other in pairs if other == label] for label in classes}
        for _ in range(NUM_PAPER_EPISODES):
            label = int(draw.choice(classes, 1, replace=False)[0])
            episodes.append((names[label][draw.choice(len(names[label]), 1, replace=False)[0]], label))
        return episodes


@DATASETS.register_module()
class FSS1000Dataset(EpisodeDataset):
    """FSS-1000 (Li et al., CVPR 2020): 1000 classes with ten images each, 520 train, 240 val, 240 test.

    The lists ``{trn,val,test}.txt`` have folder names. Each folder has ``1.jpg`` to ``10.jpg`` and masks of the same
    names. Masks are grey, and values from 128 are the class. Episodes ``'paper'`` are all pairs.
    """

    LISTS = dict(train='trn', val='val', test='test')
    NUM_IMAGES = 10

    def _read_lists(self) -> tuple[Pairs, dict[int, str]]:
        entries = dict(enumerate(sorted(read_categories(self._list_path('.txt')))))
        return [(f'{category}/{number}', label) for label, category in entries.items()
                for number in range(1, self.NUM_IMAGES + 1)], entries

    def _foreground(self, label: int) -> tuple[int, int]:
        return 128, 255


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise UserError(f'{name} is {value!r}: set it to {", ".join(choices)}.')
