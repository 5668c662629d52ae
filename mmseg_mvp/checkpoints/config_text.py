"""Reading, as data, of the text of a config, which mmengine stores in a checkpoint."""
import ast
from typing import Any

UNREAD = type('Unread', (), {'__repr__': lambda self: 'a value that is no literal'})()


def read_settings(text: str) -> dict[str, Any]:
    """Read the literal values in the text of a config, without running it.

    Args:
        text (str): Python source, as written by ``Config.pretty_text``.

    Returns:
        dict[str, Any]: Values by name, with :data:`UNREAD` for parts that are no literals. Statements other than
        ``name = value`` are omitted.
    """
    settings = {}
    try:
        nodes = ast.parse(text).body
    except Exception:  # an invalid text can raise many types of errors
        return settings
    for node in nodes:
        try:
            name, value = assignment(node, lenient=True)
        except Exception:  # another statement
            continue
        settings[name] = value
    return settings


def assignment(node: ast.stmt, lenient: bool = False) -> tuple[str, Any]:
    """Return the name and the value of ``name = literal``; if ``lenient``, parts that are no literals are UNREAD.

    Raises:
        ValueError: If the statement is another one, or the value is not made of literals.
    """
    if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
        raise ValueError(f'line {node.lineno} is not name = value')
    return node.targets[0].id, _value(node.value, lenient)


def _value(node: ast.expr, lenient: bool) -> Any:
    """Evaluate a literal; ``dict(key=value)`` and ``dict({key: value})`` are accepted as well."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(_value(part, lenient) for part in node.elts)
    if isinstance(node, ast.Dict):
        return {_value(key, lenient): _value(value, lenient) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return dict(*(_value(part, lenient) for part in node.args),
                    **{keyword.arg: _value(keyword.value, lenient) for keyword in node.keywords})
    try:
        return ast.literal_eval(node)
    except ValueError:
        if lenient:
            return UNREAD
        raise
