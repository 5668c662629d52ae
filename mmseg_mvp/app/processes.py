"""Processes of torchrun."""
import gc
import os
from datetime import timedelta
from typing import Any

from mmengine.dist import all_gather_object
from torch import distributed

TIMEOUT = timedelta(days=30)  # processes may differ much in run time


def gather(value: Any) -> list:
    """Gather one value per torchrun process, by rank; block until all processes arrive.

    torchrun stops all processes when one fails. Therefore call it before a process exits with an error code. Without
    torchrun, the list holds only the value of this process.

    Args:
        value: Any value that can be pickled.

    Returns:
        list: One value per process.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return [value]
    distributed.init_process_group('gloo', timeout=TIMEOUT)  # mmengine's init_dist needs a GPU per process
    values = all_gather_object(value)
    disconnect()
    return values


def disconnect() -> None:
    """Wait for the other processes, then destroy the process group; do nothing in a single process.

    A process that exits too early breaks the connections of the others. gloo's threads free the exchanged tensors. If
    one does so while Python shuts down, it aborts the process. The threads end with the process group.
    DistributedDataParallel keeps a reference to the group, and the Runner's reference cycles keep that object alive.
    """
    if distributed.is_initialized():
        distributed.barrier()
        gc.collect()
        distributed.destroy_process_group()
