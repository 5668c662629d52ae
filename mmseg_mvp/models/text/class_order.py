"""Check that data set and model agree on the classes. Labels are indices, so another order would assign wrong names."""
from collections.abc import Sequence
from contextlib import suppress

from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer

from mmseg_mvp.errors import UserError


class ClassOrderCheck:
    """Comparison of a text classifier's vocabularies with the data set of the running loop, whatever runtime it has.

    mmengine's ``RuntimeInfoHook`` publishes the loop and the training data set in the message hub. The loops of
    validation and test publish their data set in the visualizer. Only the vocabularies of the config are compared: not
    those of samples or of ``set_classes``, and not those of a frozen teacher within a training iteration. A run that
    ended in an error leaves its loop in the hub, so a data set that was published before this object existed is
    ignored.

    Args:
        train_vocabulary (dict): Training names of the config.
        test_vocabulary (dict): Test names of the config.
    """

    def __init__(self, train_vocabulary: dict, test_vocabulary: dict) -> None:
        self._vocabularies = {True: train_vocabulary, False: test_vocabulary}
        # Metainfo of the last data set; first, that of a run which is not ours.
        self._checked = _current_metainfo(training=True) or _current_metainfo(training=False)

    def __call__(self, vocabulary: dict, training: bool) -> None:
        """Compare the vocabulary in use with the current data set's classes, once for each data set.

        Raises:
            UserError: As :func:`compare_class_lists`.
        """
        if vocabulary is not self._vocabularies[training]:
            return
        meta = _current_metainfo(training)
        if meta is not None and meta is not self._checked:
            if meta.get('classes'):
                key = f'decode_head.{"train" if training else "test"}_classes'
                compare_class_lists(meta['classes'], list(vocabulary), key)
            self._checked = meta


def _current_metainfo(training: bool) -> dict | None:
    """Return the metainfo of the data set in the running loop, or None without a loop for this mode."""
    hub = MessageHub.get_current_instance()
    stage = hub.get_info('loop_stage')
    if stage is None or training != (stage == 'train'):
        return None
    if training:
        return hub.get_info('dataset_meta')
    with suppress(RuntimeError):  # there is no visualizer
        return Visualizer.get_current_instance().dataset_meta


def compare_class_lists(labels: Sequence[str], names: Sequence[str], key: str) -> None:
    """Check that class lists of data set and model are compatible. ``key`` is the config key of ``names``.

    Different names in a list of the same length are accepted, because a vocabulary can reword classes.

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
