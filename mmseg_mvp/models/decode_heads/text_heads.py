"""mmseg decode heads with text embeddings as the last layer."""
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead, FCNHead, LightHamHead, SegformerHead, UPerHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from ..text.text_classifier import TextClassifier
from ..text.text_head import TextHead
from ..text.text_layer import TextLayer
from .deeplabv2_head import DeepLabV2Head
from .low_res_loss import LowResLossMixin


class TextHeadMixin(TextHead):
    """Mixin that replaces ``conv_seg`` of an mmseg decode head by a :class:`TextLayer`.

    ``class TextMyHead(TextHeadMixin, MyHead)`` applies it to a custom head. With ``LowResLossMixin`` between them,
    training stores no (C, H, W) logits.

    Args:
        clip (dict): ``model`` and ``weights`` of the text tower's CLIP, see :func:`mmseg_mvp.clip.load_clip`.
        train_classes (str | list): Training vocabulary in the order of the labels.
        test_classes (str | list, optional): Test vocabulary; None takes ``train_classes``.
        prompts (dict): Config of ``TemplatePrompts`` or ``LearnedPrompts``.
        synonyms (str): ``'max'`` or ``'mean'``, see :class:`TextClassifier`.
        fusion (str | dict): Fusion of the scores of several prompts, see :class:`TextClassifier`.
        temperature (float, optional): See :class:`TextLayer`.
        learn_temperature (bool): See :class:`TextLayer`.
        learn_background (bool): See :class:`TextLayer`.
        regularization (dict, optional): See :class:`TextLayer`.
        loss_oc (dict, optional): Config of ``OCLoss`` for learned segmentation prompts.
        **kwargs: Arguments of the head, except ``num_classes``, which follows from the vocabulary. ``loss_decode``
            defaults to ``RefinedSegLoss``.

    Raises:
        UserError: If the CLIP, the prompts or a vocabulary is not valid, the head has no ``conv_seg``, or ``loss_oc``
            has fewer than two learned segmentation prompts.
    """

    def __init__(self, clip: dict, train_classes: str | list, test_classes: str | list | None = None,
                 prompts: dict = dict(type='TemplatePrompts'), synonyms: str = 'max', fusion: str | dict = 'sum',
                 temperature: float | None = None, learn_temperature: bool = False, learn_background: bool = False,
                 regularization: dict | None = None, loss_oc: dict | None = None, **kwargs) -> None:
        classifier = TextClassifier(clip, prompts, train_classes, test_classes, synonyms, fusion)
        kwargs = dict(dict(loss_decode=dict(type='RefinedSegLoss')), **kwargs)
        super().__init__(**dict(kwargs, num_classes=len(classifier.test_vocabulary)))
        if 'conv_seg' not in self._modules:
            raise UserError(f'{type(self).__name__} has no layer conv_seg for the text layer to replace: mix '
                            f'TextHeadMixin into a head that classifies by conv_seg, such as FCNHead.')
        self.conv_seg = TextLayer(classifier, self.channels, temperature, learn_temperature, learn_background,
                                  regularization)
        if loss_oc is not None and not (classifier.prompts.learnable and classifier.prompts.num_views > 1):
            raise UserError(f'{type(self).__name__}.loss_oc is set, but its {type(classifier.prompts).__name__} has '
                            f'fewer than two learned segmentation prompts: use LearnedPrompts with num_prompts of at '
                            f'least 2, not frozen, or loss_oc=None.')
        self.gpr = None
        self.loss_oc = None if loss_oc is None else MODELS.build(loss_oc)

    @property
    def classifier(self) -> TextClassifier:
        """Text classifier with names and embeddings."""
        return self.conv_seg.classifier

    def class_weights(self) -> Tensor:
        """Return the text embeddings that score features, (V, S, D); V is 1 if views are summed."""
        return self.conv_seg.weights()

    @property
    def returns_features(self) -> bool:
        """True if the text layer returns features instead of logits."""
        return self.conv_seg.returns_features

    @returns_features.setter
    def returns_features(self, value: bool) -> None:
        self.conv_seg.returns_features = value

    def replace_classifier(self, classifier: nn.Module) -> None:
        """Replace the classifier of the text layer."""
        self.conv_seg.classifier = classifier

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Compute the losses of the head and its prompts, scalars (), from logits (B, C, h, w)."""
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        if self.loss_oc is not None:
            losses[self.loss_oc.loss_name] = self.loss_oc(self.classifier.prompts.seg_contexts)
        return losses


@MODELS.register_module()
class TextFCNHead(TextHeadMixin, LowResLossMixin, FCNHead):
    """``FCNHead`` of mmseg with a text layer."""


@MODELS.register_module()
class TextDeepLabV2Head(TextHeadMixin, LowResLossMixin, DeepLabV2Head):
    """``DeepLabV2Head`` with a text layer: student of MVP-SEG+ on VOC and COCO-Stuff."""


@MODELS.register_module()
class TextDeepLabV3PlusHead(TextHeadMixin, LowResLossMixin, DepthwiseSeparableASPPHead):
    """``DepthwiseSeparableASPPHead`` of mmseg with a text layer: student of MVP-SEG+ on Context."""


@MODELS.register_module()
class TextUPerHead(TextHeadMixin, LowResLossMixin, UPerHead):
    """``UPerHead`` of mmseg with a text layer."""


@MODELS.register_module()
class TextSegformerHead(TextHeadMixin, LowResLossMixin, SegformerHead):
    """``SegformerHead`` of mmseg with a text layer."""


@MODELS.register_module()
class TextLightHamHead(TextHeadMixin, LowResLossMixin, LightHamHead):
    """``LightHamHead`` of mmseg (SegNeXt) with a text layer."""
