"""Check that training has labels to learn from."""
from contextlib import suppress
from pathlib import Path

import mmengine.fileio as fileio
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.datasets.transforms.named_errors import NamedErrors
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import CHECK_LABELS, IGNORE, STORE_AS_1, is_hidden
from mmseg_mvp.models.utils.ignored_label import ignored_label
from mmseg_mvp.utils.masks import decode_mask
from mmseg_mvp.utils.wrappers import unwrapped

FIRST = 10  # batches in which all pixels are checked, and at least one must be labelled
PIXELS = 2**14  # pixels per image that are checked in later batches
SHOWN = 20  # mask files whose values are shown, and values shown


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Hook that stops a training without labelled pixels, and names classes without labelled pixels.

    The first ten batches must hold a labelled pixel. If they hold a single class of several, a warning shows the values
    in the mask files. After training, a warning names the classes without a pixel. Hidden pixels
    (:mod:`mmseg_mvp.labels`) count as labelled; classes are then not named, and neither are those of samples with their
    own vocabulary. In training, validation and tests, an image that a resize would reduce to nothing is named.
    """

    def before_train(self, runner) -> None:
        """Begin to count; check the padding value."""
        _prepare(runner.train_dataloader.dataset)
        names = runner.train_dataloader.dataset.metainfo.get('classes') or ()
        self.names, self.batches, self.files = list(names), 0, {}
        self.counts = torch.zeros(len(names) + 1, dtype=torch.long)  # the last is for hidden pixels
        self.ignored = ignored_label(runner.model)
        _check_padding(runner.model, self.ignored, len(names))

    def before_val(self, runner) -> None:
        """Have errors of the pipeline name the image."""
        _prepare(runner.val_dataloader.dataset)
        _check_output(runner.val_loop.evaluator, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        """Have errors of the pipeline name the image."""
        _prepare(runner.test_dataloader.dataset)
        _check_output(runner.test_loop.evaluator, runner.test_dataloader.dataset)

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count the labels of a batch; check the counts after the first batches.

        Raises:
            UserError: If no pixel of the first batches is labelled, or a label is not a class.
        """
        samples = [sample for sample in (data_batch or {}).get('data_samples') or () if 'gt_sem_seg' in sample]
        if not samples:
            return
        if any(sample.metainfo.get('vocabulary') for sample in samples):
            self.names = []
        self.batches += 1
        for sample in samples:
            self.counts += self._count(sample)
        if self.batches == min(FIRST, runner.max_iters):
            self._check(runner)

    def _count(self, sample) -> Tensor:
        """Count the labelled pixels of a sample: (C + 1,) int64, hidden ones last."""
        labels = sample.gt_sem_seg.data  # (1, H, W)
        if self.batches <= FIRST:
            self.files[sample.metainfo.get('seg_map_path')] = sample.metainfo.get('reduce_zero_label')
        else:
            step = max(1, int((labels.numel() / PIXELS)**0.5))
            labels = labels[..., ::step, ::step]
        labels = labels[labels != self.ignored].long()
        last = len(self.counts) - 1
        counts = labels.clamp(0, last).bincount(minlength=last + 1)
        if counts[last] and self.names and not is_hidden(labels[labels >= last]).all():
            raise UserError(self._stray(labels, sample))
        return counts

    def _stray(self, labels: Tensor, sample) -> str:
        label = labels[(labels >= len(self.names)) & ~is_hidden(labels)][0].item()
        return (f'Mask {sample.metainfo.get("seg_map_path")!r} has the label {label}, but the data set has '
                f'{len(self.names)} classes and the model ignores {self.ignored}: set ignore_index to one value in the '
                f'loading, in decode_head, CountingRandomCrop and the metrics, and check the masks.')

    def _check(self, runner) -> None:
        counts = self.counts.clone()
        all_reduce(counts)
        if not counts.any():
            raise UserError(f'No pixel of the first {self.batches} batches is labelled, so training cannot learn: all '
                            f'pixels have the ignored label {self.ignored}{self._values()}.')
        present = [name for name, count in zip(self.names, counts.tolist()) if count]
        if len(present) == 1 < len(self.names) and not counts[-1]:
            runner.logger.warning(f'All labelled pixels of the first {self.batches} batches are of the class '
                                  f'{present[0]!r}, one of {len(self.names)}{self._values()}.')

    def _values(self) -> str:
        """Describe the values in the mask files of the first batches, with a remedy."""
        found, files = set(), [path for path in self.files if path][:SHOWN]
        for path in files:
            with suppress(UserError, OSError):  # a mask that another loader accepts, or that has no file
                found.update(np.unique(decode_mask(fileio.get(path), f'Mask {path!r}').values).tolist())
        if not found:
            return f': {CHECK_LABELS}'
        values = ', '.join(map(str, sorted(found)[:SHOWN])) + ', ...' * (len(found) > SHOWN)
        reduced = ' and reduce_zero_label is True' if any(self.files.values()) else ''
        remedy = STORE_AS_1 if found <= {0, IGNORE} and IGNORE in found else CHECK_LABELS
        return f' (masks such as {files[0]!r} hold the values {values}{reduced}): {remedy}'

    def after_train(self, runner) -> None:
        """Log the classes without a labelled pixel."""
        counts = self.counts.clone()
        all_reduce(counts)
        missing = [name for name, count in zip(self.names, counts.tolist()) if not count]
        if missing and self.batches and not counts[-1]:
            runner.logger.warning(f'Training saw no labelled pixel of {len(missing)} of {len(self.names)} classes: '
                                  f'{", ".join(missing)}.')


def _prepare(dataset) -> None:
    """Have errors of all pipelines in a data set name the image; refuse wide masks with mmseg's own loader."""
    for leaf in leaf_datasets(dataset):
        if type(getattr(leaf, 'pipeline', None)) is not Compose:
            continue
        leaf.pipeline = NamedErrors(leaf.pipeline.transforms)
        path = leaf.get_data_info(0).get('seg_map_path') if len(leaf) else None
        if path and any(type(transform) is LoadAnnotations for transform in leaf.pipeline.transforms):
            _check_width(path)


def _check_output(evaluator, dataset) -> None:
    """Refuse ``output_dir`` of mmseg's metrics, which keeps one file for all images of equal stems."""
    places = [metric.output_dir for metric in getattr(evaluator, 'metrics', ()) if getattr(metric, 'output_dir', None)]
    if not places:
        return
    paths = {leaf.get_data_info(index).get('img_path') for leaf in leaf_datasets(dataset) for index in range(len(leaf))}
    stems = {}
    for path in sorted(filter(None, paths)):
        if (other := stems.setdefault(Path(path).stem, path)) != path:
            raise UserError(f'output_dir {places[0]!r} of the evaluator would have one file for {other!r} and '
                            f'{path!r}: omit output_dir, and use tools/test.py --out DIR, which keeps folders.')


def _check_width(path: str) -> None:
    """Raise UserError for a mask with values beyond 8 bits, which mmseg's loader would wrap."""
    try:
        largest = decode_mask(fileio.get(path), path).values.max()
    except Exception:  # the loader reports files that cannot be read
        return
    if largest >= 2**8:
        raise UserError(f"Mask {path!r} has the value {largest}, but mmseg's LoadAnnotations keeps 8 bits: use "
                        f'LoadCheckedAnnotations, with num_classes and ignore_index.')


def _check_padding(model: nn.Module, ignored: int, num_classes: int) -> None:
    padding = getattr(getattr(unwrapped(model), 'data_preprocessor', None), 'seg_pad_val', ignored)
    if padding != ignored and 0 <= padding < num_classes:
        raise UserError(f'model.data_preprocessor.seg_pad_val is {padding}, a class, but the model ignores {ignored}: '
                        f'set seg_pad_val to {ignored}.')
