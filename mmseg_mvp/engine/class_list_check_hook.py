"""Check that data set and head agree on the classes."""
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmseg.registry import HOOKS

from mmseg_mvp.datasets import PackVocabulary
from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import find_text_head


@HOOKS.register_module()
class ClassListCheckHook(Hook):
    """Hook that compares the classes of a data set with the classes of the model before the first image.

    The model's classes are the vocabulary of the text head, or of ``PackVocabulary`` if the pipeline ends with it.

    Labels are indices, so another length or order would silently assign wrong names. Different names in a list of the
    same length are accepted, because a vocabulary can reword classes.
    """

    def before_train(self, runner) -> None:
        """Check the training classes."""
        _check(runner, runner.train_loop.dataloader.dataset, training=True)

    def before_val(self, runner) -> None:
        """Check the test classes with the validation data."""
        _check(runner, runner.val_loop.dataloader.dataset, training=False)

    def before_test(self, runner) -> None:
        """Check the test classes with the test data."""
        _check(runner, runner.test_loop.dataloader.dataset, training=False)


def _check(runner, dataset, training: bool) -> None:
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    if (head := find_text_head(model)) is None:
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


def compare_class_lists(labels: Sequence[str], names: Sequence[str], key: str) -> None:
    """Check that class lists of data set and model are compatible. ``key`` is the config key of ``names``.

    Raises:
        UserError: If the lengths differ, or the same names have another order.
    """
    if len(labels) != len(names):
        raise UserError(f'{key} has {len(names)} classes, but the data set has {len(labels)} '
                        f"({', '.join(labels[:3])}, ...): list one class for each label, in the data set's order.")
    wrong = [index for index, (label, name) in enumerate(zip(labels, names)) if label != name]
    if wrong and set(labels) == set(names):
        raise UserError(f"{key} and the data set list the same classes in another order: label {wrong[0]} "
                        f"is '{labels[wrong[0]]}' in the data set and '{names[wrong[0]]}' in {key}; take the data "
                        f"set's order.")
