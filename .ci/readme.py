"""Prints the README's blocks up to its tests as one shell script, which clones this checkout: python3 .ci/readme.py."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def script() -> str:
    """Return the script; Python blocks become here documents."""
    blocks = re.findall(r'^```(bash|python)\n(.*?)^```$', (ROOT / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
    texts = [code if language == 'bash' else f"python - <<'END'\n{code}END\n" for language, code in blocks]
    return ''.join(text for text in texts if 'pytest' not in text).replace('REPOSITORY', f"'{ROOT}'")


if __name__ == '__main__':
    print(script())
