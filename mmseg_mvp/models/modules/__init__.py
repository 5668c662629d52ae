from .gpr import GPR
from .spatial_regularization import SpatialRegularization

__all__ = ['GPR', 'SpatialRegularization']
