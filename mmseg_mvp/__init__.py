"""MMSeg-MVP: importing this package registers its components in MMSegmentation's own registries."""
import sys

from .host import HostError, check_host, quiet_imports
from .version import __version__

try:
    check_host()
except HostError as error:
    if sys.argv[:1] == ['-m'] and 'mmseg_mvp' in sys.orig_argv:  # python -m mmseg_mvp
        sys.exit(f'error: {error}')
    raise

with quiet_imports():  # the host is checked first
    from . import datasets, engine, evaluation, models, visualization

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization']
