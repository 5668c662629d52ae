"""MMSeg-MVP: importing this package registers its components in MMSegmentation's own registries."""
from .host import check_host
from .version import __version__

check_host()

from . import datasets, engine, evaluation, models, visualization  # noqa: E402  (the host is checked first)

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization']
