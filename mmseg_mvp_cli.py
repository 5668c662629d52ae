"""Command `mmseg-mvp`: runs the scripts of tools/ from any folder. It imports no package, so `--help` is quick."""
import ast
import difflib
import sys
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).resolve().parent
_MIM = _HERE / 'mmseg_mvp/.mim'  # in an installed wheel; a checkout has the tools beside this file
TOOLS = (_MIM if _MIM.is_dir() else _HERE) / 'tools'
COMMANDS = {name: f'{name}.py' for name in ('segment', 'app', 'train', 'test', 'adapt', 'export', 'benchmark')}
COMMANDS.update(explain='analysis_tools/explain.py', demo='toy/demo.py')


def summary(command: str) -> str:
    """Return the first words of the docstring of a script."""
    text = (TOOLS / COMMANDS[command]).read_text('utf-8')
    return ast.get_docstring(ast.parse(text)).partition(':')[0]


def usage() -> str:
    """Return the list of commands."""
    lines = [f'  {name:11}{summary(name)}' for name in COMMANDS]
    return '\n'.join(['usage: mmseg-mvp COMMAND [ARGUMENTS]', '', *lines, '',
                      'Arguments of a command: mmseg-mvp COMMAND --help',
                      'CONFIG is a file, or a shipped config by its short name: mmseg-mvp test maskclip/toy_zs',
                      f'Shipped configs: {TOOLS.parent / "configs"}'])


def main() -> None:
    """Run the command of the command line."""
    command, *arguments = sys.argv[1:] or ['--help']
    if command in ('-h', '--help'):
        print(usage())
        return
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f'did you mean {near[0]}? Expected' if near else 'expected'
        print(f'error: there is no command {command}: {hint} one of {", ".join(COMMANDS)}', file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f'mmseg-mvp {command}', *arguments]
    run(TOOLS / COMMANDS[command])


def run(script: Path) -> None:
    """Run a script as ``python SCRIPT`` does; ``runpy`` would replace ``sys.argv[0]``, which its help shows."""
    module = sys.modules['__main__'] = ModuleType('__main__')
    module.__file__ = str(script)
    sys.path.insert(0, str(script.parent))
    exec(compile(script.read_bytes(), script, 'exec'), module.__dict__)
