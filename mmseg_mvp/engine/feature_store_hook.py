"""Hook for the feature bank of ``tools/test.py --feature-bank``."""
import shutil

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.utils.feature_store import FeatureStore
from mmseg_mvp.utils.files import written_size
from mmseg_mvp.utils.settings_index import PRECISIONS
from mmseg_mvp.utils.wrappers import unwrapped


@HOOKS.register_module()
class FeatureStoreHook(Hook):
    """Hook that keeps the features of test and validation images, which a frozen CLIP computes once.

    Args:
        folder (str): Folder of the features, see :class:`mmseg_mvp.utils.feature_store.FeatureStore`.
        precision (str): Type of the stored values, ``'float16'`` or ``'float32'``.

    Raises:
        UserError: If the precision is unknown. When a test starts: if the model has no frozen ``CLIPImageEncoder``, or
            the folder does not fit. After its first batch: if the disk has too little space.
    """

    def __init__(self, folder: str, precision: str = 'float16') -> None:
        if precision not in PRECISIONS:
            raise UserError(f'FeatureStoreHook.precision is {precision!r}: expected {" or ".join(PRECISIONS)}.')
        self.folder, self.precision = folder, precision

    def before_test(self, runner) -> None:
        """Let the backbone use the store."""
        model = unwrapped(runner.model)
        model = getattr(model, 'module', model)  # of test time augmentation
        backbone = getattr(model, 'backbone', None)
        if not isinstance(backbone, CLIPImageEncoder) or not backbone.frozen:
            raise UserError(f'A feature bank keeps the features of a frozen CLIPImageEncoder, but the model is a '
                            f'{type(model).__name__} with a {type(backbone).__name__} that learns: test it without '
                            f'--feature-bank.')
        settings = dict(backbone.identity(), out_indices=list(backbone.out_indices))
        backbone.store = self._store = FeatureStore(self.folder, settings, self.precision)
        self._backbone = backbone

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None, outputs: list | None = None,
                        mode: str = 'test') -> None:
        """Tell the size after the first batch."""
        store = self._store
        if batch_idx or not store.added:
            return
        images = len(getattr(runner, f'{mode}_dataloader').dataset)
        need = store.added_bytes * max(images / len(data_batch['inputs']) - 1, 0)
        free = shutil.disk_usage(self.folder).free
        if need > free:
            raise UserError(f'The feature bank {self.folder} needs about {written_size(need)} for {images} images, but '
                            f'its disk has {written_size(free)} free: free disk space, or name a folder on another '
                            f'disk.')
        runner.logger.info(f'New features are added to the feature bank {self.folder}: about {written_size(need)} for '
                           f'{images} images ({written_size(free)} free).')

    def after_test(self, runner) -> None:
        """Count the images or windows that came from the store."""
        self._backbone.store = None
        runner.logger.info(f'The feature bank {self.folder} gave {self._store.read} and took in {self._store.added} '
                           f'images or windows.')

    def before_val(self, runner) -> None:
        self.before_test(runner)

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: list | None = None) -> None:
        self.after_test_iter(runner, batch_idx, data_batch, outputs, 'val')

    def after_val(self, runner) -> None:
        self.after_test(runner)
