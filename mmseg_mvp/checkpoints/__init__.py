"""Reading of checkpoints as data from any address, and conversion of checkpoints to plain data."""
from .encoding import decode_checkpoint, encode_checkpoint, same_data
from .fit import checked_fit
from .loading import check_checkpoint, checkpoints_as_data, read_checkpoint, read_file, trusted_checkpoints

__all__ = ['check_checkpoint', 'checked_fit', 'checkpoints_as_data', 'decode_checkpoint', 'encode_checkpoint',
           'read_checkpoint', 'read_file', 'same_data', 'trusted_checkpoints']
