"""Hooks and model wrappers for the loops of mmengine."""
from .atomic_checkpoint_hook import AtomicCheckpointHook, find_complete_checkpoint
from .checkpoint_fit_hook import CheckpointFitHook
from .class_list_check_hook import ClassListCheckHook
from .feature_store_hook import FeatureStoreHook
from .first_process_logger_hook import FirstProcessLoggerHook
from .iteration_seed_hook import IterationSeedHook
from .label_check_hook import LabelCheckHook
from .label_map_hook import LabelMapHook
from .loop_end_hook import LoopEndHook
from .no_sync_model_wrapper import NoSyncModelWrapper
from .test_record_hook import TestRecordHook
from .text_once_per_step_hook import TextOncePerStepHook

__all__ = ['AtomicCheckpointHook', 'CheckpointFitHook', 'ClassListCheckHook', 'FeatureStoreHook',
           'FirstProcessLoggerHook', 'IterationSeedHook', 'LabelCheckHook', 'LabelMapHook', 'LoopEndHook',
           'NoSyncModelWrapper', 'TestRecordHook', 'TextOncePerStepHook', 'find_complete_checkpoint']
