"""Wordings of a vocabulary as one list."""


def all_wordings(vocabulary: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all wordings of all classes in order."""
    return [wording for group in vocabulary.values() for wording in group]


def shared_wordings(vocabulary: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Map wordings shared by several classes (compared in lower case, like CLIP tokens) to the names of the classes."""
    users = {}
    for name, wordings in vocabulary.items():
        for wording in {wording.lower() for wording in wordings}:
            users.setdefault(wording, []).append(name)
    return {wording: names for wording, names in users.items() if len(names) > 1}
