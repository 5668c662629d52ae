"""The ``clip`` of a component's config."""
from pathlib import Path

from mmseg_mvp.errors import UserError


def check_clip(clip: dict) -> dict:
    """Refuse what is no ``dict(model=..., weights=...)``, before a CLIP is looked for.

    Args:
        clip (dict): ``model`` and perhaps ``weights`` of :func:`mmseg_mvp.clip.load_clip`.

    Returns:
        dict: The same, with paths as strings.

    Raises:
        UserError: If it is something else.
    """
    if not isinstance(clip, dict) or not {'model'} <= clip.keys() <= {'model', 'weights'}:
        raise UserError(f"The clip of the config is {clip!r}: expected dict(model='ViT-B-16-quickgelu', "
                        f"weights='openai'), of which weights may be missing.")
    for key, value in clip.items():
        if not isinstance(value, (str, Path)) and (key, value) != ('weights', None):
            raise UserError(f'clip.{key} is {value!r}, a {type(value).__name__}: expected a name or the path of a '
                            f'file.')
    return {key: str(value) if isinstance(value, Path) else value for key, value in clip.items()}
