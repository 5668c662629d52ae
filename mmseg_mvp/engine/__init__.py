"""What runs beside the model in mmengine's loops."""
from . import checkpoint_loading  # noqa: F401  (it registers itself)
from .class_list_check_hook import ClassListCheckHook
from .iteration_seed_hook import IterationSeedHook
from .solo_model_wrapper import SoloModelWrapper
from .text_once_per_step_hook import TextOncePerStepHook

__all__ = ['ClassListCheckHook', 'IterationSeedHook', 'SoloModelWrapper', 'TextOncePerStepHook']
