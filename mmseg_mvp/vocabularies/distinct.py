"""Different names for classes that share their first synonym, such as two kinds of crane."""
from collections import Counter, defaultdict

from mmseg_mvp.errors import UserError

Pairs = list[tuple[str, tuple[str, ...]]]


def distinct_names(pairs: Pairs, where: str) -> Pairs:
    """Give classes that share a name different names, and keep their wordings.

    The suffix is the first wording that the others lack, as in ``crane (bird)``, else a number. A class without such
    a wording keeps its name if no other class has it.

    Args:
        pairs (list[tuple[str, tuple[str, ...]]]): Names and wordings of the classes.
        where (str): Description of the list for error messages.

    Raises:
        UserError: If two classes have the same name and the same wordings.
    """
    groups = defaultdict(list)
    for index, (name, _) in enumerate(pairs):
        groups[name].append(index)
    shared = {name: indices for name, indices in groups.items() if len(indices) > 1}
    _check_differ({name: [pairs[index][1] for index in indices] for name, indices in shared.items()}, where)
    names = [name for name, _ in pairs]
    for indices in shared.values():
        for index in indices:
            names[index] = _with_own_wording(pairs, index, indices)
    return [(name, wordings) for name, (_, wordings) in zip(_numbered(names), pairs)]


def _check_differ(shared: dict[str, Pairs], where: str) -> None:
    twice = [name for name, groups in shared.items() if len({_lower(group) for group in groups}) < len(groups)]
    if twice:
        raise UserError(f'Class names {twice} stand more than once in {where}: write one entry per class, with its '
                        'synonyms separated by commas.')


def _lower(wordings: tuple[str, ...]) -> frozenset[str]:
    return frozenset(wording.lower() for wording in wordings)


def _with_own_wording(pairs: Pairs, index: int, indices: list[int]) -> str:
    name, wordings = pairs[index]
    others = frozenset().union(*(_lower(pairs[other][1]) for other in indices if other != index))
    own = next((wording for wording in wordings if wording.lower() not in others), name)
    return name if own == name else f'{name} ({own})'


def _numbered(names: list[str]) -> list[str]:
    """Add a number to each name that stands earlier in the list."""
    counts, taken, numbered = Counter(), {*names}, []
    for name in names:
        counts[name] += 1
        unique = name
        while counts[name] > 1 and unique in taken:
            unique = f'{name} ({counts[name]})'
            counts[name] += unique in taken
        taken.add(unique)
        numbered.append(unique)
    return numbered
