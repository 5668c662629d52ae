"""Seen and unseen classes of the shipped label sets, by class name.

VOC, Context and COCO-Stuff follow SPNet, ZS3 and MaskCLIP+ (Zhou et al., ECCV 2022). ADE20K follows FreeSeg (Qin et
al., CVPR 2023). The split of the toy world is ours.
"""
from collections.abc import Iterable

from mmseg_mvp.errors import UserError

_CONTEXT = ('aeroplane', 'bird', 'boat', 'cat', 'cow', 'fence', 'keyboard', 'motorbike', 'sofa', 'tvmonitor')

UNSEEN: dict[str, tuple[str, ...]] = {
    'voc20': ('pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
    'context59': _CONTEXT,
    'context60': _CONTEXT,
    'coco_stuff': ('cow', 'giraffe', 'suitcase', 'frisbee', 'skateboard', 'carrot', 'scissors', 'cardboard', 'clouds',
                   'grass', 'playingfield', 'river', 'road', 'tree', 'wall-concrete'),
    'ade20k': ('grass', 'table', 'armchair', 'bathtub', 'fireplace', 'river', 'computer', 'towel',
               'television receiver', 'buffet', 'basket', 'lake', 'traffic light', 'monitor', 'flag'),
    'toy': ('mushroom', 'boat', 'bird', 'rocket', 'key'),
}


def split_names(names: Iterable[str], unseen: Iterable[str], source: str = 'the class list') -> tuple[list, list]:
    """Split class names into seen and unseen ones, both in the order of ``names``.

    ``source`` describes ``names`` in error messages.

    Raises:
        UserError: If ``unseen`` is not a subset of ``names``, or an argument is not a list of names.
    """
    for what, given in (('The classes', names), ('The unseen classes', unseen)):
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise UserError(f'{what} of {source} are {given!r}, of type {type(given).__name__}: set a list of names.')
    names, unseen = list(names), list(unseen)
    strangers = [name for name in unseen if name not in names]
    if strangers:
        raise UserError(f'Unseen classes {strangers} are not among the {len(names)} classes of {source}: write '
                        f'unseen names exactly as in the label set ({_shortened(names)}).')
    return [name for name in names if name not in unseen], [name for name in names if name in unseen]


def _shortened(names: list[str], shown: int = 20) -> str:
    return ', '.join(names[:shown]) + (', ...' if len(names) > shown else '')
