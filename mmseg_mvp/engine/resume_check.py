"""Check, before a run is resumed, that the checkpoint is of the same method as the config."""
import ast
from collections.abc import Iterable

from mmengine.config import Config

from mmseg_mvp.checkpoints import read_checkpoint
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import short

# Settings that make a method. A resumed run may change all others, such as the batch size or the schedule.
_TYPES = ('model.type', 'model.backbone.type', 'model.decode_head.type', 'model.decode_head.prompts.type')


def check_method(checkpoint: str, cfg: Config) -> None:
    """Compare the component types of a config with those of the config in a local checkpoint.

    A type that is missing on either side is not compared. Remote checkpoints are not checked.

    Args:
        checkpoint (str): Checkpoint to resume from. It is read as data, and the config in it is not run.
        cfg (Config): Config of the run.

    Raises:
        UserError: If a type differs, or the checkpoint can't be read.
    """
    if '://' in checkpoint:
        return
    meta = read_checkpoint(checkpoint).get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    stored = _stored_types(text) if isinstance(text, str) else {}
    for name, found in stored.items():
        expected = _type(cfg, name.split('.'))
        if expected and found != expected:
            raise UserError(f'checkpoint {checkpoint} is of another method: its {name} is {short(found)}, but '
                            f'{expected} was expected by {cfg.filename or "the config"}; resume with the config of '
                            'the checkpoint, or name another --work-dir or --resume CHECKPOINT')


def _type(settings: object, keys: Iterable[str]) -> str | None:
    """Return the type at a path in a config, without its scope; None if there is none."""
    for key in keys:
        settings = settings.get(key) if isinstance(settings, (dict, Config)) else None
    return settings.rpartition('.')[2] if isinstance(settings, str) else None


def _stored_types(text: str) -> dict[str, str]:
    """Return the compared types in the source text of a config; empty if the text can't be parsed."""
    try:
        nodes = {node.targets[0].id: node.value for node in ast.parse(text).body
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    except Exception:  # an invalid text can raise many types of errors
        return {}
    model = _dicts(nodes.get('model'))
    found = {name: _type({'model': model}, name.split('.')) for name in _TYPES}
    return {name: value for name, value in found.items() if value}


def _dicts(node: ast.expr | None) -> dict | str | None:
    """Convert nested ``dict(key=value)`` and ``{'key': value}`` to dicts of strings; other values become None."""
    if isinstance(node, ast.Call):
        return {keyword.arg: _dicts(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {key.value: _dicts(value) for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
