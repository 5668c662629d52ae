"""What runs beside the model in mmengine's loops."""
from .class_list_check_hook import ClassListCheckHook
from .iteration_seed_hook import IterationSeedHook

__all__ = ['ClassListCheckHook', 'IterationSeedHook']
