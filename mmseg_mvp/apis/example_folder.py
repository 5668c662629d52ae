"""Examples from a folder with one subfolder of pictures per class, and their union with classes of words."""
from collections.abc import Mapping
from pathlib import Path

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies.parsing import Vocabulary

from .example_classes import ExampleClasses
from .examples import Example
from .images import SUFFIXES, list_images

MASK = '_mask'


def read_examples(source: str | Path) -> Mapping[str, list]:
    """Read the examples of a folder, or a file of :meth:`ExampleClasses.save`.

    In a folder, ``widget/a.jpg`` is a picture of the class `widget`. ``widget/a.png`` beside a picture of another type,
    or ``widget/a_mask.png``, is its mask. Without a mask, the whole picture is the example.

    Returns:
        Mapping[str, list]: Classes for :meth:`OpenVocabInferencer.__call__`, sorted by name for a folder.

    Raises:
        UserError: If the source is missing, a class has no picture, a picture has two masks, a mask has no picture, or
            two names differ in case, spaces and underscores only.
    """
    path = Path(source)
    if not path.is_dir():
        return ExampleClasses.load(path)
    classes = {folder.name: _examples_of(folder) for folder in sorted(path.iterdir())
               if folder.is_dir() and not folder.name.startswith('.')}
    if not classes or any(file.suffix.lower() in SUFFIXES for file in path.iterdir()):
        raise UserError(f'{path} is not a folder of examples: put the pictures of each class into a subfolder with '
                        f'the name of the class, such as {path / "widget" / "a.jpg"}.')
    _by_plain_name(classes, str(path))
    return classes


def _examples_of(folder: Path) -> list[Example]:
    """Return the examples in the folder of a class."""
    files = list_images(folder)
    pictures = [file for file in files if not _is_mask(file, files)]
    examples = []
    for picture in pictures:
        masks = [file for file in files if file not in pictures and file.stem in (picture.stem, picture.stem + MASK)]
        if len(masks) > 1:
            raise UserError(f'Example {picture} has the masks {masks[0].name} and {masks[1].name}: keep one of them.')
        examples.append(Example(picture, mask=masks[0] if masks else None))
    return examples


def _is_mask(file: Path, files: list[Path]) -> bool:
    """Return True if a file is the mask of another one. Raise UserError if its picture is missing."""
    if file.stem.endswith(MASK):
        if not any(other.stem == file.stem.removesuffix(MASK) for other in files):
            raise UserError(f'Mask {file} has no picture: add {file.stem.removesuffix(MASK)}.jpg, or remove the '
                            f'mask.')
        return True
    return file.suffix.lower() == '.png' and any(other.stem == file.stem and other.suffix.lower() != '.png'
                                                 for other in files)


def join_classes(vocabulary: Vocabulary, examples: Mapping[str, list]) -> dict[str, list]:
    """Add examples to classes of words. Names that differ only in case, spaces and underscores are one class.

    Args:
        vocabulary (Vocabulary): Classes of words, which come first; may be empty.
        examples (Mapping[str, list]): Classes with examples, whose words are kept unless the class has others.

    Raises:
        UserError: If two names of one side are the same class.
    """
    own, found = _by_plain_name(vocabulary, 'the classes'), _by_plain_name(examples, 'the examples')
    joined = {name: list(vocabulary[name]) for name in vocabulary}
    for plain, name in found.items():
        pictures = [part for part in examples[name] if not isinstance(part, str)]
        if plain in own:
            joined[own[plain]] += pictures
        else:
            joined[name] = list(examples[name])
    return joined


def _by_plain_name(classes: Mapping, where: str) -> dict[str, str]:
    """Return the name of each class by its form in lower case with spaces."""
    names = {}
    for name in classes:
        plain = ' '.join(name.replace('_', ' ').split()).casefold()
        if plain in names:
            raise UserError(f'{names[plain]!r} and {name!r} in {where} are the same class name: join them.')
        names[plain] = name
    return names
