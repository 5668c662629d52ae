"""MVP-SEG+ (arXiv 2304.06957): transfer from learned prompts to a segmentation network."""
import torch
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_mvp.checkpoints import checked_fit, read_checkpoint
from mmseg_mvp.clip import Frozen
from mmseg_mvp.errors import UserError
from mmseg_mvp.host import swaps_channels
from mmseg_mvp.labels import hidden_truth, is_hidden
from mmseg_mvp.utils.config import component_class, takes
from mmseg_mvp.vocabularies import class_names, split_names

from ..utils.label_map import image_matrices
from ..utils.pseudo_labels import pseudo_labels
from ..utils.tiled_resize import resize_matrices
from .open_vocab_encoder_decoder import OpenVocabEncoderDecoder

_LABEL_SETTINGS = ('refine', 'word_softmax', 'prob_thd', 'area_thd', 'prompt_denoise', 'key_smooth')


@MODELS.register_module()
class KnowledgeTransfer(OpenVocabEncoderDecoder):
    """Student with pseudo labels from a frozen teacher, then from the student itself.

    The setting is transductive: names of the unseen classes are known, their masks are not. Pixels hidden by
    ``HideClasses`` get the unseen class with the highest score. Phase 1 uses the teacher's scores on the same crop,
    phase 2 the student's scores (self-training). Labelled and ignored pixels keep their labels. MVP-SEG+ follows
    MaskCLIP+ (arXiv 2112.01071) in this. The phase depends only on the runner's iteration.

    This segmentor is the student. Its head takes ``clip``, ``prompts`` (frozen) and ``synonyms`` from the teacher's
    config unless it sets them. Checkpoints omit the teacher.

    Args:
        teacher (dict): Config of a ``CLIPEncoderDecoder`` (MVP-SEG or MaskCLIP).
        decode_head (dict): Config of a text head, such as ``TextDeepLabV2Head``.
        unseen (str | list): Hidden classes, names from ``decode_head.train_classes``.
        teacher_checkpoint (str, optional): Checkpoint of the teacher; required for training if its prompts are learned.
        teacher_share (float): Share of the schedule in phase 1, 0 to 1.
        threshold (float): Least probability of a pseudo label, 0 to 1; pixels below it are ignored.
        ema_momentum (float, optional): Weight of the newest student in a moving average, which gives the labels in
            phase 2. None takes the student itself.
        **kwargs: Arguments of ``OpenVocabEncoderDecoder``.

    Raises:
        UserError: If the head has no text classifier, ``unseen`` is empty or unknown to the head, a share is out of
            range, or the teacher has a setting of ``test_cfg`` for label maps.
    """

    def __init__(self, teacher: dict, decode_head: dict, unseen: str | list, teacher_checkpoint: str | None = None,
                 teacher_share: float = 0.1, threshold: float = 0., ema_momentum: float | None = None,
                 **kwargs) -> None:
        _check_shares(teacher_share=teacher_share, threshold=threshold, ema_momentum=ema_momentum)
        super().__init__(decode_head=_with_text_of(teacher, decode_head), **kwargs)
        if not unseen:
            raise UserError('KnowledgeTransfer has no unseen class, so there is nothing to transfer: name the classes '
                            'that HideClasses hides, or train the student with OpenVocabEncoderDecoder.')
        hidden = split_names(self._names, class_names(unseen), 'decode_head.train_classes')[1]
        self.register_buffer('unseen', torch.tensor([self._names.index(name) for name in hidden]), persistent=False)
        self.teacher_share, self.threshold = teacher_share, threshold
        self.average = None if ema_momentum is None else ExponentialMovingAverage(self, ema_momentum)
        self.teacher_checkpoint = teacher_checkpoint
        self.teacher = Frozen(MODELS.build(teacher))
        self.teacher.module.set_classes(decode_head['train_classes'])
        _check_teacher(self.teacher.module)

    @property
    def _names(self) -> list[str]:
        """Names of the training classes."""
        return list(self.decode_head.classifier.train_vocabulary)

    def init_weights(self) -> None:
        """Initialise as mmseg does, load the teacher and copy its learned prompts. Runs before training only.

        Raises:
            UserError: If a teacher with learned prompts has no checkpoint, or the checkpoint does not fit or was
                trained on unseen classes.
        """
        super().init_weights()
        teacher = self.teacher.module
        classifier = teacher.decode_head.classifier
        if self.teacher_checkpoint is not None:
            _load(teacher, self.teacher_checkpoint)
        elif classifier.prompts.learnable:
            raise UserError('The teacher\'s prompts are not trained: set model.teacher_checkpoint to a checkpoint that '
                            'tools/train.py wrote for the teacher\'s config.')
        self._check_origin(classifier.learned_on if self.teacher_checkpoint else [])
        if classifier.prompts.learnable and isinstance(self.decode_head.classifier.prompts, type(classifier.prompts)):
            self.decode_head.classifier.load_state_dict(classifier.state_dict())

    def _check_origin(self, learned_on: list[str]) -> None:
        """Raise UserError if the teacher was trained on masks of the unseen classes."""
        known = [self._names[index] for index in self.unseen if self._names[index] in learned_on]
        if known:
            raise UserError(f'The teacher checkpoint {self.teacher_checkpoint} was trained with masks of {known}, '
                            f'unseen classes of this student: give a teacher of the same split, or change unseen.')

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Compute losses with pseudo labels on hidden pixels, and statistics of the pseudo labels.

        Images are (B, 3, H, W), and ``gt_sem_seg`` of each sample, with hidden labels, is (1, H, W).

        Returns:
            dict[str, Tensor]: Scalars (): losses; ``phase``, 1 or 2; ``pseudo_share``, the share of hidden pixels. With
            hidden pixels also ``pseudo_confidence``, their mean probability, and, if the truth is known, ``pseudo_acc``
            in percent.

        Raises:
            UserError: If the labels show an unseen class or hide a seen class.
        """
        if self.average is not None:
            self.average.update_parameters(self)
        features = self.extract_feat(inputs)
        logits = self.decode_head(features)  # (B, C, h, w)
        label = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])  # (B, H, W)
        self._check_labels(label)
        label, monitor = self._fill(label, inputs, logits.detach())
        samples = [_relabelled(sample, one) for sample, one in zip(data_samples, label)]
        losses = {f'decode.{name}': value for name, value in self.decode_head.loss_by_feat(logits, samples).items()}
        if self.with_auxiliary_head:
            losses.update(self._auxiliary_head_forward_train(features, samples))
        return dict(losses, **monitor)

    @torch.no_grad()
    def _fill(self, label: Tensor, inputs: Tensor, logits: Tensor) -> tuple[Tensor, dict]:
        """Replace hidden labels (B, H, W) by pseudo labels. Return labels (B, H, W) and statistics ()."""
        hidden = is_hidden(label)
        phase = 1 if self._teacher_labels() else 2
        monitor = dict(phase=label.new_tensor(phase, dtype=torch.float), pseudo_share=hidden.float().mean())
        if not hidden.any():
            return label, monitor
        scores, matrices = self._teacher_scores(inputs) if phase == 1 else self._own_scores(inputs, logits)
        found, confidence = pseudo_labels(scores, self.unseen, label.shape[1:], matrices)
        truth = hidden_truth(label)
        known = truth >= 0
        monitor['pseudo_confidence'] = confidence[hidden].mean()
        if known.any():
            monitor['pseudo_acc'] = 100. * (found == truth)[known].float().mean()
        found = found.where(confidence >= self.threshold, self.decode_head.ignore_index)
        return torch.where(hidden, found, label), monitor

    def _teacher_labels(self) -> bool:
        """Return True in phase 1. Without a runner, the iteration is 0."""
        hub = MessageHub.get_current_instance()
        return hub.get_info('iter', 0) < self.teacher_share * hub.get_info('max_iters', 1)

    def _teacher_scores(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the teacher's logits (B, C, h, w) and the matrices of their resize to the input size."""
        teacher = self.teacher.module
        with torch.autocast(inputs.device.type, enabled=inputs.device.type == 'cuda'):
            logits, covered = teacher.low_res_logits(self._as_the_teacher_sees(inputs))
        return logits, image_matrices(logits[0], covered, inputs.shape[2:], {}, teacher.align_corners)

    def _as_the_teacher_sees(self, inputs: Tensor) -> Tensor:
        """Convert images (B, 3, H, W) from the student's normalisation to the teacher's."""
        own, other = self.data_preprocessor, self.teacher.module.data_preprocessor
        images = inputs * own.std + own.mean if own._enable_normalize else inputs
        images = images if swaps_channels(own) == swaps_channels(other) else images.flip(1)
        return (images - other.mean) / other.std if other._enable_normalize else images

    def _own_scores(self, inputs: Tensor, logits: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return logits (B, C, h, w) of the student or its moving average, and the matrices of their resize."""
        if self.average is not None:
            student = self.average.module.eval()
            student.decode_head.classifier.train()  # select the training vocabulary
            logits = student.decode_head(student.extract_feat(inputs))
        return logits, resize_matrices(logits, inputs.shape[2:], self.align_corners)

    def _check_labels(self, label: Tensor) -> None:
        """Raise UserError if labels (B, H, W) show an unseen class or hide a seen class."""
        present = label.flatten().bincount().nonzero().flatten()
        truth = hidden_truth(present)
        shown = present[torch.isin(present, self.unseen)]
        other = truth[(truth >= 0) & ~torch.isin(truth, self.unseen)]
        for found, what in ((shown, 'show the unseen class'), (other, 'hide the seen class')):
            if len(found):
                raise UserError(f"The training labels {what} '{self._names[int(found[0])]}': dict(type='HideClasses', "
                                f'classes=..., unseen=...) after loading must hide KnowledgeTransfer.unseen.')


def _check_shares(teacher_share: float, threshold: float, ema_momentum: float | None) -> None:
    for name, value, fits in (
            ('teacher_share', teacher_share, 0 <= teacher_share <= 1),
            ('threshold', threshold, 0 <= threshold <= 1),
            ('ema_momentum', ema_momentum, ema_momentum is None or 0 < ema_momentum < 1)):
        if not fits:
            reason = ': a phase can\'t be longer than the schedule' if name == 'teacher_share' else ''
            raise UserError(f'KnowledgeTransfer.{name} is {value}, but expected between 0 and 1{reason}.')


def _with_text_of(teacher: dict, decode_head: dict) -> dict:
    """Add the teacher's clip, prompts and synonyms to the student's head. Raise UserError without text classifier."""
    if not takes(component_class(decode_head['type'], MODELS), 'train_classes'):
        raise UserError(f"The student's {decode_head['type']} has no text classifier, so it can't take other names: "
                        f'use a text head such as TextDeepLabV2Head, or mix TextHeadMixin into yours.')
    text = {key: teacher['decode_head'][key] for key in ('prompts', 'synonyms') if key in teacher['decode_head']}
    text['clip'] = teacher['decode_head'].get('clip', teacher.get('clip'))
    if text.get('prompts', {}).get('type') == 'LearnedPrompts':
        text['prompts'] = dict(text['prompts'], frozen=True)
    return dict(text, **decode_head)


def _load(teacher: nn.Module, path: str) -> None:
    """Load the teacher's checkpoint. Raise UserError if it cannot be read or fits in part."""
    try:
        with checked_fit(teacher, path):
            _load_checkpoint_to_model(teacher, read_checkpoint(path))
    except UserError:
        raise
    except Exception as error:  # storage backends raise their own exceptions
        raise UserError(f'The teacher checkpoint {path} can\'t be read ({" ".join(str(error).split())[:100]}): set '
                        f'model.teacher_checkpoint to a file that tools/train.py wrote.') from error


def _relabelled(sample, label: Tensor):
    """Replace the ground truth of a sample by other labels (H, W), in place."""
    sample.gt_sem_seg = PixelData(data=label[None])
    return sample


def _check_teacher(teacher: OpenVocabEncoderDecoder) -> None:
    """Refuse settings of the teacher that change label maps, since it gives logits."""
    settings = [key for key in _LABEL_SETTINGS if teacher.test_cfg.get(key)]
    settings += ['stitch'] * (teacher.test_cfg.get('stitch') == 'pixels')
    if settings:
        raise UserError(f'KnowledgeTransfer.teacher has a test_cfg.{settings[0]}, but it gives logits, which this does '
                        f'not change: set it to None, or set test_cfg.{settings[0]} of the student.')
