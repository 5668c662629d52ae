"""Hooks and model wrappers for the loops of mmengine."""
from .class_list_check_hook import ClassListCheckHook
from .first_process_logger_hook import FirstProcessLoggerHook
from .iteration_seed_hook import IterationSeedHook
from .solo_model_wrapper import SoloModelWrapper
from .text_once_per_step_hook import TextOncePerStepHook
from .whole_checkpoint_hook import WholeCheckpointHook, find_whole_checkpoint

__all__ = ['ClassListCheckHook', 'FirstProcessLoggerHook', 'IterationSeedHook', 'SoloModelWrapper',
           'TextOncePerStepHook', 'WholeCheckpointHook', 'find_whole_checkpoint']
