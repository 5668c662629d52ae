"""Check of the ``clip`` entry in a component's config."""
from pathlib import Path

from mmseg_mvp.errors import UserError


def check_clip(clip: dict) -> dict:
    """Check the ``clip`` entry of a config, ``dict(model=..., weights=...)``, and convert paths to strings.

    Raises:
        UserError: If ``model`` is missing, a key is unknown, or a value has the wrong type.
    """
    if not isinstance(clip, dict) or not {'model'} <= clip.keys() <= {'model', 'weights'}:
        raise UserError(f"The entry clip of the config is {clip!r}: expected dict(model='ViT-B-16-quickgelu', "
                        f"weights='openai'), where weights is optional; correct the entry.")
    for key, value in clip.items():
        if not isinstance(value, (str, Path)) and (key, value) != ('weights', None):
            raise UserError(f'clip.{key} is {value!r}, a {type(value).__name__}: expected text; give a name or the '
                            f'path of a file.')
    return {key: str(value) if isinstance(value, Path) else value for key, value in clip.items()}
