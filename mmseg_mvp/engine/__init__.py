"""What runs beside the model in mmengine's loops."""
from .iteration_seed_hook import IterationSeedHook

__all__ = ['IterationSeedHook']
