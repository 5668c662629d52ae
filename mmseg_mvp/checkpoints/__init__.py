"""Reading of checkpoints as data from any address, and conversion of checkpoints to plain data."""
from .loading import check_checkpoint, checkpoints_as_data, read_checkpoint, read_file, trusted_checkpoints
from .plain import from_plain, same_data, to_plain

__all__ = ['check_checkpoint', 'checkpoints_as_data', 'from_plain', 'read_checkpoint', 'read_file', 'same_data',
           'to_plain', 'trusted_checkpoints']
