"""mmseg's decode heads with text embeddings as their last layer."""
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead, FCNHead, SegformerHead, UPerHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor

from mmseg_mvp.errors import UserError

from ..text.text_classifier import TextClassifier
from ..text.text_layer import TextLayer
from .deeplabv2_head import DeepLabV2Head
from .low_res_loss import LowResLossMixin
from .vocabulary import VocabularyMixin


class TextHeadMixin(VocabularyMixin):
    """Gives a decode head of mmseg a vocabulary: its ``conv_seg`` becomes a :class:`TextLayer`.

    ``class TextMyHead(TextHeadMixin, MyHead)`` is all that a head of one's own needs; with ``LowResLossMixin`` between
    them it has no C x H x W logits in training.

    Args:
        clip (dict): ``model`` and ``weights`` of the text tower's CLIP, see :func:`mmseg_mvp.clip.load_clip`.
        train_classes (str | list): Vocabulary of the training labels, in their order.
        test_classes (str | list, optional): Vocabulary for testing; None takes ``train_classes``.
        prompts (dict): Config of ``TemplatePrompts`` or ``LearnedPrompts``.
        synonyms (str): ``'max'`` or ``'mean'``, see :class:`TextClassifier`.
        temperature (float, optional): See :class:`TextLayer`, as for the next three.
        learn_temperature (bool): Whether it is learned.
        learn_background (bool): Whether the class called 'background' has a learned embedding.
        regularization (dict, optional): Config of what the scores go through last.
        loss_oc (dict, optional): Config of the loss that keeps the learned segmentation prompts apart, ``OCLoss``.
        **kwargs: Those of the head, without ``num_classes``, which the vocabulary says; ``loss_decode`` is
            ``RefinedSegLoss`` by default.

    Raises:
        UserError: If the CLIP, the prompts or a vocabulary can't be used, the head has no ``conv_seg``, or there are no
            prompts that ``loss_oc`` could part.
    """

    def __init__(self, clip: dict, train_classes: str | list, test_classes: str | list | None = None,
                 prompts: dict = dict(type='TemplatePrompts'), synonyms: str = 'max',
                 temperature: float | None = None, learn_temperature: bool = False, learn_background: bool = False,
                 regularization: dict | None = None, loss_oc: dict | None = None, **kwargs) -> None:
        classifier = TextClassifier(clip, prompts, train_classes, test_classes, synonyms)
        kwargs = dict(dict(loss_decode=dict(type='RefinedSegLoss')), **kwargs)
        super().__init__(**dict(kwargs, num_classes=len(classifier.vocabularies[False])))
        if not hasattr(self, 'conv_seg'):
            raise UserError(f'{type(self).__name__} has no conv_seg that a text layer could replace: mix TextHeadMixin '
                            f'into a head that classifies by one, such as FCNHead.')
        self.conv_seg = TextLayer(classifier, self.channels, temperature, learn_temperature, learn_background,
                                  regularization)
        if loss_oc is not None and not (classifier.prompts.learnable and classifier.prompts.num_views > 1):
            raise UserError(f'{type(self).__name__}.loss_oc is set, but its {type(classifier.prompts).__name__} has no '
                            f'segmentation prompts to learn and to part: use LearnedPrompts with num_prompts of at '
                            f'least 2, not frozen, or loss_oc=None.')
        self.loss_oc = None if loss_oc is None else MODELS.build(loss_oc)

    @property
    def classifier(self) -> TextClassifier:
        """The names and their embeddings."""
        return self.conv_seg.classifier

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Losses of the head, and that of its prompts.

        Args:
            seg_logits (Tensor): Logits at feature resolution, (B, C, h, w).
            batch_data_samples (list[SegDataSample]): Ground truth, ``gt_sem_seg`` (1, H, W) each.

        Returns:
            dict[str, Tensor]: Scalars ().
        """
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        if self.loss_oc is not None:
            losses[self.loss_oc.loss_name] = self.loss_oc(self.classifier.prompts.seg_contexts)
        return losses


@MODELS.register_module()
class TextFCNHead(TextHeadMixin, LowResLossMixin, FCNHead):
    """mmseg's ``FCNHead``, classified by text."""


@MODELS.register_module()
class TextDeepLabV2Head(TextHeadMixin, LowResLossMixin, DeepLabV2Head):
    """``DeepLabV2Head``, classified by text: the student of MVP-SEG+ on VOC and COCO-Stuff."""


@MODELS.register_module()
class TextDeepLabV3PlusHead(TextHeadMixin, LowResLossMixin, DepthwiseSeparableASPPHead):
    """mmseg's ``DepthwiseSeparableASPPHead``, classified by text: the student of MVP-SEG+ on Context."""


@MODELS.register_module()
class TextUPerHead(TextHeadMixin, LowResLossMixin, UPerHead):
    """mmseg's ``UPerHead``, classified by text."""


@MODELS.register_module()
class TextSegformerHead(TextHeadMixin, LowResLossMixin, SegformerHead):
    """mmseg's ``SegformerHead``, classified by text."""
