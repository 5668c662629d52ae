"""The decode head of MVP-SEG (Guo et al., PRCV 2023, arXiv 2304.06957)."""
import math

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.checking import check_number, check_tensor
from mmseg_mvp.errors import UserError

from ..losses.oc_loss import pair_cosines
from ..losses.refined_seg_loss import RefinedSegLoss, label_histogram
from ..text.text_classifier import TextClassifier
from .vocabulary import VocabularyMixin


@MODELS.register_module()
class MultiPromptTextHead(VocabularyMixin, BaseDecodeHead):
    """Classifies pixels by the text embeddings of class names under several prompts.

    ``logits = tau_1 * sum_i cos(F, t_i)`` over the k segmentation prompts; with a global prompt, GPR adds ``log g``,
    computed from the global prompt's own class map (MVP-SEG, fused mask and Global Prompt Refining). With
    ``TemplatePrompts`` and no losses it is MaskCLIP. It works on any backbone: a 1x1 projection is learned where the
    channels differ from CLIP's embedding.

    Args:
        clip (dict): ``model`` and ``weights`` of the text tower's CLIP, see :func:`mmseg_mvp.clip.load_clip`.
        train_classes (str | list): Vocabulary of the training labels, in their order.
        test_classes (str | list, optional): Vocabulary for testing; None takes ``train_classes``.
        prompts (dict): Config of ``LearnedPrompts`` or ``TemplatePrompts``.
        scale (float): Initial ``k * tau_1``. The sum over views grows with k, so ``tau_1`` starts at ``scale / k``:
            then different k start alike. Not given in the paper.
        learn_scale (bool): Whether ``tau_1`` is learned.
        synonyms (str): ``'max'`` or ``'mean'``, see :class:`TextClassifier`.
        gpr (dict, optional): Config of GPR; needs a global prompt.
        loss_decode (dict): Config of ``RefinedSegLoss``, or of any mmseg loss, which then sees the refined logits.
        loss_presence (dict, optional): Config of the global prompt's loss.
        loss_oc (dict, optional): Config of the loss that keeps the segmentation prompts apart.
        in_channels (int, optional): Channels of the backbone's features; None means CLIP's embedding size.
        **kwargs: ``in_index``, ``ignore_index``, ``align_corners``, ``init_cfg`` of mmseg's ``BaseDecodeHead``.

    Raises:
        UserError: If the CLIP, the prompts or a vocabulary can't be used, the scale is not positive, or GPR has no
            global prompt.
    """

    def __init__(self, clip: dict, train_classes: str | list, test_classes: str | list | None = None,
                 prompts: dict = dict(type='LearnedPrompts'), scale: float = 30., learn_scale: bool = True,
                 synonyms: str = 'max', gpr: dict | None = None, loss_decode: dict = dict(type='RefinedSegLoss'),
                 loss_presence: dict | None = None, loss_oc: dict | None = None, in_channels: int | None = None,
                 **kwargs) -> None:
        check_number('MultiPromptTextHead.scale, k * tau_1,', scale, above=0)
        if 'num_classes' in kwargs:
            raise UserError('MultiPromptTextHead.num_classes is set, but train_classes and test_classes say how many '
                            'there are: leave it away.')
        check_number('MultiPromptTextHead.ignore_index', kwargs.get('ignore_index', 255), whole=True)
        if in_channels is not None:
            check_number('MultiPromptTextHead.in_channels', in_channels, least=1, whole=True)
        classifier = TextClassifier(clip, prompts, train_classes, test_classes, synonyms)
        channels = classifier.embed_dim
        kwargs = dict(dict(dropout_ratio=0., init_cfg=None), **kwargs)
        super().__init__(in_channels or channels, channels, num_classes=len(classifier.vocabularies[False]),
                         loss_decode=loss_decode, **kwargs)
        del self.conv_seg  # the text embeddings are the classifier; an unused layer would break DDP
        self.classifier = classifier
        self.projection = nn.Identity() if self.in_channels == channels else nn.Conv2d(self.in_channels, channels, 1)
        tau_1 = torch.tensor(math.log(scale / classifier.prompts.num_views))
        self.log_tau_1 = nn.Parameter(tau_1, requires_grad=bool(learn_scale) and classifier.prompts.learnable)
        if gpr is not None and not classifier.prompts.has_global:
            raise UserError('MultiPromptTextHead.gpr is set, but its prompts have no global prompt: use '
                            'LearnedPrompts with global_prompt=True, or gpr=None.')
        self.gpr, self.loss_presence, self.loss_oc = (
            None if config is None else MODELS.build(config) for config in (gpr, loss_presence, loss_oc))

    @property
    def tau_1(self) -> Tensor:
        """The fused mask's temperature factor, a scalar ()."""
        return self.log_tau_1.exp()

    def class_maps(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Everything about the classes that has a place: what a sliding window stitches.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.

        Returns:
            Tensor: Logits ``tau_1 * sum_i m_i``, followed by the global prompt's map ``m_0`` if there is GPR,
            (B, C or 2C, h, w).
        """
        weights = self.classifier.fused_weights()
        if self.gpr is None:
            weights = weights[:1]
        maps = self.classifier(self._features(inputs), weights)
        return torch.cat([self.tau_1 * maps[:, 0], *maps[:, 1:].unbind(1)], dim=1)

    def view_maps(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """One map per prompt, the global one first: for pictures and tests.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.

        Returns:
            Tensor: Cosines ``m_0 .. m_k``, (B, k+1, C, h, w).
        """
        return self.classifier(self._features(inputs), self.classifier.embeddings())

    def _features(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Normalised features in CLIP's space, (B, D, h, w)."""
        features = self._transform_inputs(inputs)
        check_tensor('MultiPromptTextHead', features, 'B, C_in, h, w', self.log_tau_1)
        if features.shape[1] != self.in_channels:
            raise UserError(f'MultiPromptTextHead.in_channels is {self.in_channels}, but the backbone gives features '
                            f'of {features.shape[1]} channels: set in_channels to that.')
        return F.normalize(self.projection(features), dim=1)

    def refine(self, maps: Tensor) -> Tensor:
        """Refined logits ``tau_1 * sum_i m_i + log g``.

        Args:
            maps (Tensor): Class maps of a whole image, (B, C or 2C, h, w).

        Returns:
            Tensor: (B, C, h, w); their argmax is that of the refined mask.
        """
        return _refined(*self._split(maps))

    def _split(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Class maps (B, C or 2C, h, w) as logits (B, C, h, w) and, with GPR, presence logits (B, C)."""
        if self.gpr is None:
            return maps, None
        logits, global_map = maps.chunk(2, dim=1)
        return logits, self.gpr.logits(global_map)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Refined logits at feature resolution.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.

        Returns:
            Tensor: (B, C, h, w).
        """
        return self.refine(self.class_maps(inputs))

    def loss(self, inputs: tuple[Tensor, ...], batch_data_samples: SampleList, train_cfg: dict | None = None) -> dict:
        """Losses of a batch, with the learned scales for the log.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.
            batch_data_samples (list[SegDataSample]): Ground truth, ``gt_sem_seg`` (1, H, W) each.
            train_cfg (dict, optional): Not used.

        Returns:
            dict[str, Tensor]: Scalars ().

        Raises:
            UserError: If a label is neither one of the training classes nor ignored.
        """
        logits, presence = self._split(self.class_maps(inputs))
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        self._check_labels(label, batch_data_samples)
        histogram = label_histogram(label, logits.shape[1], self.ignore_index)
        if isinstance(self.loss_decode, RefinedSegLoss):
            log_presence = None if presence is None else F.logsigmoid(presence)
            losses = {self.loss_decode.loss_name: self.loss_decode(
                logits, label, ignore_index=self.ignore_index, log_presence=log_presence,
                align_corners=self.align_corners, histogram=histogram)}
        else:
            losses = self.loss_by_feat(_refined(logits, presence), batch_data_samples)
        losses.update(self._prompt_losses(presence, histogram))
        return losses

    def _prompt_losses(self, presence: Tensor | None, histogram: Tensor) -> dict:
        losses = {}
        if self.loss_presence is not None and presence is not None:
            losses[self.loss_presence.loss_name] = self.loss_presence(presence, histogram > 0)
        losses['tau_1'] = self.tau_1.detach()
        if self.gpr is not None:
            losses['tau_2'] = self.gpr.tau.detach()
        if self.classifier.prompts.learnable and self.classifier.prompts.num_views > 1:
            contexts = self.classifier.prompts.seg_contexts
            losses['prompt_cosine'] = pair_cosines(contexts.detach()).mean()
            if self.loss_oc is not None:
                losses[self.loss_oc.loss_name] = self.loss_oc(contexts)
        return losses

    def _check_labels(self, label: Tensor, samples: SampleList) -> None:
        names = self.classifier.vocabulary
        wrong = ((label != self.ignore_index) & ((label >= len(names)) | (label < 0))).flatten(1).any(dim=1)
        if wrong.any():
            index = int(wrong.nonzero()[0])
            values = sorted(set(label[index].unique().tolist()) - {self.ignore_index, *range(len(names))})
            raise UserError(f"The mask of '{samples[index].metainfo.get('img_path', 'an image')}' holds the labels "
                            f'{values}, but the head is trained on {len(names)} classes (0 to {len(names) - 1}, '
                            f'{self.ignore_index} is ignored): train_classes and the data must list the same classes.')


def _refined(logits: Tensor, presence: Tensor | None) -> Tensor:
    """Logits (B, C, h, w) plus ``log g`` of presence logits (B, C), if there are any: (B, C, h, w)."""
    return logits if presence is None else logits + F.logsigmoid(presence)[:, :, None, None]
