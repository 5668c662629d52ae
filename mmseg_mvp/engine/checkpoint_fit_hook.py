"""Check that the checkpoint of a run fits its model."""
from collections.abc import Mapping
from contextlib import ExitStack

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.checkpoints import checked_fit
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import find_text_head
from mmseg_mvp.utils.wrappers import unwrapped


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Hook that checks ``load_from`` by :func:`~mmseg_mvp.checkpoints.checked_fit`.

    Args:
        whole (bool): True refuses a checkpoint that fits in part, for tests and resumed runs; False warns.
    """

    def __init__(self, whole: bool) -> None:
        self.whole, self._check, self._classes = whole, ExitStack(), None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the load into the model, which follows."""
        self._check.enter_context(checked_fit(runner.model, runner._load_from, self.whole))
        meta = checkpoint.get('meta')
        saved = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
        self._classes = saved.get('classes') if isinstance(saved, Mapping) else None

    def before_train(self, runner) -> None:
        """End the check; compare the classes."""
        self._check.close()
        self._compare(runner, 'train_loop')

    def before_test(self, runner) -> None:
        """End the check; compare the classes."""
        self._check.close()
        self._compare(runner, 'test_loop')

    def _compare(self, runner, loop: str) -> None:
        """Compare the class order of the checkpoint's data set with that of the run, for a head without text."""
        if self.whole and self._classes and find_text_head(unwrapped(runner.model)) is None:
            classes = (getattr(getattr(runner, loop).dataloader.dataset, 'metainfo', None) or {}).get('classes') or ()
            pairs = [pair for pair in zip(self._classes, classes) if pair[0] != pair[1]]
            if pairs and {*self._classes} == {*classes}:
                raise UserError(f'checkpoint {runner._load_from} has the classes of the data set in another order: '
                                f'its {pairs[0][0]!r} has the label of {pairs[0][1]!r} in the data set; set '
                                'metainfo.classes, and the label values of the masks, to the order of the checkpoint')
