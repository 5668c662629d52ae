"""Check that data set and head agree on the classes."""
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import nn

from mmseg_mvp.datasets import PackVocabulary
from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import find_text_head
from mmseg_mvp.models.text.class_order import compare_class_lists
from mmseg_mvp.utils.wrappers import unwrapped


@HOOKS.register_module()
class ClassListCheckHook(Hook):
    """Hook that compares the classes of the data sets with the classes of the model before the first image.

    The model's classes are the vocabulary of the text head, or of ``PackVocabulary`` if the pipeline ends with it. The
    head compares its vocabulary as well (``ClassOrderCheck``), without this hook, but at the first image of each loop.
    Of a head without text, ``num_classes`` is compared.
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


def _check_number(model: nn.Module, dataset) -> None:
    """Check that a head without text has one output for each class of the data sets."""
    head = getattr(model, 'decode_head', None)
    number = getattr(head[-1] if isinstance(head, nn.ModuleList) else head, 'num_classes', None)
    for leaf in leaf_datasets(dataset):
        classes = (getattr(leaf, 'metainfo', None) or {}).get('classes') or ()
        if isinstance(number, int) and number > 1 and classes and len(classes) != number:
            raise UserError(f'decode_head.num_classes is {number}, but the data set has {len(classes)} classes '
                            f'({", ".join(map(str, classes[:3]))}, ...): set num_classes of all heads to this number.')


def _check_auxiliary(model: nn.Module, classes: int) -> None:
    """Check that auxiliary heads have an output for each training class of the text head; more change nothing."""
    heads = getattr(model, 'auxiliary_head', None) or []
    for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
        if isinstance(number := getattr(head, 'num_classes', None), int) and 1 < number < classes:
            raise UserError(f'auxiliary_head.num_classes is {number}, but decode_head.train_classes has {classes} '
                            f'classes: write auxiliary_head=dict(num_classes={classes}).')


def _check(runner, dataset, training: bool) -> None:
    if (head := find_text_head(unwrapped(runner.model))) is None:
        _check_number(unwrapped(runner.model), dataset)
        return
    if training:
        _check_auxiliary(unwrapped(runner.model), len(head.classifier.train_vocabulary))
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
