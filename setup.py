"""Packaging: the runtime needs no mmseg stack to install; `import mmseg_mvp` says which one is missing."""
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'mmseg_mvp/version.py').read_text()).group(1)
README = ROOT / 'README.md'


def requirements(name: str) -> list[str]:
    """Lines of requirements/NAME.txt without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


IGNORED = shutil.ignore_patterns('__pycache__', '*.pyc', '*.safetensors')  # CLIPs of the toy's ablation


class BuildWithMim(build_py):
    """Lay configs/, tools/ and published figures into the wheel as `mmseg_mvp/.mim`, where OpenMIM looks for them.

    They are copied into the build folder only. An editable install reads them from the checkout, so it copies nothing.
    """

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        mim = Path(self.build_lib) / 'mmseg_mvp' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        for folder in ('configs', 'tools'):
            shutil.copytree(ROOT / folder, mim / folder, ignore=IGNORED)
        (mim / 'docs').mkdir()
        shutil.copy(ROOT / 'docs/published.yaml', mim / 'docs')


TESTED = ('annotations', 'export', 'tokenizers', 'video', 'web')  # extras of the tests, so that none is skipped
EXTRAS = {name: requirements(name) for name in (*TESTED, 'host', 'optional', 'tests')}
EXTRAS['tests'] += [one for name in TESTED for one in EXTRAS[name]]

setup(
    name='mmseg-mvp',
    version=VERSION,
    description='MVP-SEG: multi-view prompt learning for open-vocabulary semantic segmentation, in MMSegmentation',
    long_description=README.read_text() if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['mmseg_mvp', 'mmseg_mvp.*']),
    py_modules=['mmseg_mvp_cli'],
    entry_points={'console_scripts': ['mmseg-mvp=mmseg_mvp_cli:main']},
    package_data={'mmseg_mvp': ['vocabularies/*.txt', 'clip/shipped/*']},
    install_requires=requirements('runtime'),
    extras_require=EXTRAS,
    cmdclass={'build_py': BuildWithMim},
)
