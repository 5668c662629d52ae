"""MMSeg-MVP: importing this package registers its components in MMSegmentation's own registries."""
from .host import check_host, quiet_imports
from .version import __version__

check_host()

with quiet_imports():  # the host is checked first
    from . import datasets, engine, evaluation, models, visualization

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization']
