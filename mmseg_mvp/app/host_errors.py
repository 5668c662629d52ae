"""Sentences for the exceptions by which mmengine, mmseg and torch report a mistake in a config."""
import os
import re
import traceback

from mmseg_mvp.utils.config import describe

from .component_errors import component_sentence

_KINDS = (RuntimeError, ValueError, AssertionError, AttributeError, KeyError, IndexError)
_REFUSALS = (TypeError, ValueError, AssertionError, LookupError, AttributeError, NotImplementedError)
# Message of the host, and the sentence for the user. Exceptions of worker processes hold the message in a traceback.
_SENTENCES = [(re.compile(pattern, re.DOTALL), sentence) for pattern, sentence in (
    (r'The image size in a batch should be the same',
     'the images of a test batch have different sizes: set batch_size=1 of the test (and validation) data loader, or '
     'resize to one size with Resize(keep_ratio=False) in its pipeline'),
    (r'stack expects each tensor to be equal size, but got (\[.+?\]) at entry 0 and (\[.+?\]) at',
     'the images of a batch have different sizes, {0} and {1}: end the training pipeline with CountingRandomCrop or '
     'RandomCrop, and set crop_size and model.data_preprocessor.size to one size; or set batch_size=1'),
    (r'only one of size and size_divisor should be valid',
     'model.data_preprocessor has neither or both of size and size_divisor, which pad the images of a batch to one '
     'size: set size to the crop_size of the training pipeline'),
    (r'Expected more than 1 value per channel when training, got input size (\S+\(?\[.+?\]\)?)',
     'BatchNorm needs more than one value per channel in training, but a batch has one, {0}: set '
     'train_dataloader.batch_size to 2 or more (and drop_last=True for training by epochs), or use another norm_cfg, '
     'such as dict(type=\'GN\', num_groups=32)'),
    (r'loaded state dict (has a different number of parameter groups|contains a parameter group that doesn\'t match)',
     'the optimizer in the checkpoint has other parameter groups than the config builds: resume with the '
     'optim_wrapper.paramwise_cfg and the model of the checkpoint, or start a new schedule from its weights by '
     'load_from=CHECKPOINT without --resume'),
    (r'(\w+), (\w+),? and (\w+) should be (?:either )?all None or not None',
     'the config sets some of {0}, {1} and {2}, but not all: set all of them, or all to None'),
    (r'Cannot infer the rule for key (\S+?),',
     'save_best of the checkpoint hook is {0}, which names no metric that rises or falls for certain: set it to the '
     'name of a metric, such as mIoU, or set rule=\'greater\' or \'less\' as well'),
    (r'weight of size \[\d+, (\d+), .+?, expected input\[.+?\] to have \d+ channels, but got (\d+) channels',
     'a layer is built for feature maps of {0} channels, but gets {1}: set in_channels of the head (or of the neck) to '
     'the channels that the part before it returns at in_index'),
    (r'Cannot find None in registry under scope',
     'a norm_cfg, act_cfg, conv_cfg or upsample_cfg of the model has a type that is not registered: write one that is, '
     'such as BN, SyncBN, GN or LN of norm_cfg, and ReLU or GELU of act_cfg'),
    (r'Target (\d+) is out of bounds',
     'the masks have the label {0}, but a head has no more classes than that: set num_classes of the decode head and '
     'of all auxiliary heads to the number of training classes'),
    (r"has no attribute '_?gt_sem_seg'|(^|KeyError: )'seg_map_path'",
     'the training images have no masks: set data_prefix.seg_map_path of the data set to their folder, and load them '
     'by LoadCheckedAnnotations or LoadAnnotations in the training pipeline'),
)]


def host_sentence(error: BaseException) -> str | None:
    """Return a sentence for an exception of the host that a config causes, or None for other exceptions.

    The config is the cause if mmengine builds a component or the Runner, and the exception arises in mmengine or in the
    installed packages that it calls: a component or an argument is unknown, or a component refuses its settings.
    """
    for pattern, sentence in _SENTENCES:
        if isinstance(error, _KINDS) and (found := pattern.search(str(error))):
            return sentence.format(*found.groups())
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return None
    if isinstance(error, ImportError) and frames[-1].filename.endswith('vis_backend.py'):
        return f'a backend of visualizer.vis_backends lacks its package ({error}): install it, or omit the backend'
    if isinstance(error, (ImportError, KeyError)) and any(frame.name == 'get_file_backend' for frame in frames):
        return (f'a file backend of the config is unknown or lacks its package ({describe(error)}): correct '
                'backend_args and paths with ://, or install the package')
    if isinstance(error, KeyError) and frames[-1].name == '_save_best_checkpoint':
        return (f'the validation has no metric {error}, which save_best of the checkpoint hook names: set it to a name '
                'in the log of the validation, such as mIoU')
    if isinstance(error, IndexError) and any(frame.name == '_transform_inputs' for frame in frames):
        return ('in_index of a head names a feature map that the backbone (or the neck) does not return: set '
                'out_indices of the backbone, or in_index and in_channels of the head to those that it returns')
    if isinstance(error, AssertionError) and not error.args and re.search(r'[\\/]necks[\\/]', frames[-1].filename):
        return ('the neck needs one feature map for each entry of its in_channels: set out_indices of the backbone and '
                'in_channels of the neck to the same layers')
    if isinstance(error, _REFUSALS) and any(map(_builds, frames)) and all(map(_is_installed, _since_built(frames))):
        return f'the config does not fit its components: {component_sentence(error) or describe(error)}'
    return None


def _builds(frame: traceback.FrameSummary) -> bool:
    return re.match('build_|from_cfg$', frame.name) is not None and _is_host(frame.filename)


def _since_built(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    last = max(index for index, frame in enumerate(frames) if _builds(frame))
    return frames[last:]


def _is_host(path: str) -> bool:
    return re.search(r'[\\/](mmengine|mmseg|mmcv)[\\/]', path) is not None


def _is_installed(frame: traceback.FrameSummary) -> bool:
    """Return True for code of the host, of another installed package, or of Python itself."""
    path = frame.filename
    if re.search(r'[\\/](site|dist)-packages[\\/]|^<frozen|\.pyx$', path):
        return 'mmseg_mvp' not in path
    return _is_host(path) or path.startswith(os.path.dirname(os.__file__))
