"""Check of the ``clip`` entry in a component's config."""
from collections.abc import Sequence
from pathlib import Path

from mmseg_mvp.errors import UserError

_KEYS = {'model', 'weights', 'mean', 'std', 'tokenizer'}


def check_clip(clip: dict) -> dict:
    """Check the ``clip`` entry of a config, convert paths to strings and lists to tuples.

    The entry is ``dict(model=..., weights=..., mean=..., std=..., tokenizer=...)``, the arguments of
    :func:`mmseg_mvp.clip.load_clip`.

    Raises:
        UserError: If ``model`` is missing, a key is unknown, or a value has the wrong type.
    """
    if not isinstance(clip, dict) or not {'model'} <= clip.keys() <= _KEYS:
        raise UserError(f"The entry clip of the config is {clip!r}: expected dict(model='ViT-B-16-quickgelu', "
                        f"weights='openai'), where weights, mean, std and tokenizer are optional; correct the entry.")
    checked = dict(clip)
    for key, value in clip.items():
        if key in ('mean', 'std'):
            checked[key] = value if value is None else check_normalisation(f'clip.{key}', value, key == 'std')
        elif isinstance(value, Path):
            checked[key] = str(value)
        elif not isinstance(value, str) and (key == 'model' or value is not None):
            raise UserError(f'clip.{key} is {value!r}, a {type(value).__name__}: expected text; give a name or the '
                            f'path of a file.')
    return checked


def check_normalisation(name: str, values: Sequence[float], positive: bool) -> tuple[float, ...]:
    """Return mean or standard deviation of the channels as a tuple.

    Args:
        name (str): Name of the setting, for the message.
        values (Sequence[float]): One value per channel, RGB, 0 to 1.
        positive (bool): True excludes 0.

    Raises:
        UserError: If there are not three numbers in the range.
    """
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(0 <= number <= 1 and (number or not positive) for number in numbers):
        raise UserError(f'{name} is {values!r}: expected three numbers of 0 to 1, for red, green and blue'
                        f'{", above 0" if positive else ""}; values of 0 to 255 must be divided by 255.')
    return numbers
