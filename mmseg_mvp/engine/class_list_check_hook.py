"""Check that data set and head agree on the classes."""
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.datasets import PackVocabulary
from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.models import find_text_head
from mmseg_mvp.models.text.class_order import compare_class_lists
from mmseg_mvp.utils.wrappers import unwrapped


@HOOKS.register_module()
class ClassListCheckHook(Hook):
    """Hook that compares the classes of the data sets with the classes of the model before the first image.

    The model's classes are the vocabulary of the text head, or of ``PackVocabulary`` if the pipeline ends with it. The
    head compares its vocabulary as well (``ClassOrderCheck``), without this hook, but at the first image of each loop.
    """

    def before_train(self, runner) -> None:
        """Check the training classes, and the test classes with the validation data."""
        _check(runner, runner.train_loop.dataloader.dataset, training=True)
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner) -> None:
        """Check the test classes with the validation data."""
        _check(runner, runner.val_loop.dataloader.dataset, training=False)

    def before_test(self, runner) -> None:
        """Check the test classes with the test data."""
        _check(runner, runner.test_loop.dataloader.dataset, training=False)


def _check(runner, dataset, training: bool) -> None:
    if (head := find_text_head(unwrapped(runner.model))) is None:
        return
    classifier = head.classifier
    vocabulary = classifier.train_vocabulary if training else classifier.test_vocabulary
    for leaf in leaf_datasets(dataset):
        packing = getattr(leaf, 'pipeline', None) and leaf.pipeline.transforms[-1]
        if isinstance(packing, PackVocabulary):
            if packing.vocabulary is not None:
                compare_class_lists(leaf.metainfo['classes'], list(packing.vocabulary),
                                    f'PackVocabulary.classes of {type(leaf).__name__}')
        elif 'classes' in leaf.metainfo:
            compare_class_lists(leaf.metainfo['classes'], list(vocabulary),
                                f"decode_head.{'train' if training else 'test'}_classes")
