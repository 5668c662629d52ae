"""Reading of pickle files as data: old and new ``torch.save`` files, TorchScript files, bare pickles."""
from .archive import TRUST, MapLocation, is_checkpoint, module_classes, module_tensors, read_archive
from .limits import of_type, short
from .unpickler import ForeignError, Reference, StandIn, read_pickle
from .values import PLAIN_VALUES, NumberType

__all__ = ['PLAIN_VALUES', 'TRUST', 'ForeignError', 'MapLocation', 'NumberType', 'Reference', 'StandIn',
           'is_checkpoint', 'module_classes', 'module_tensors', 'of_type', 'read_archive', 'read_pickle', 'short']
