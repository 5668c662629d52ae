"""Decode head of MVP-SEG (Guo et al., PRCV 2023, arXiv 2304.06957)."""
import math

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number, check_tensor

from ..losses.oc_loss import pair_cosines
from ..losses.refined_seg_loss import RefinedSegLoss, label_histogram
from ..text.text_classifier import TextClassifier
from ..text.text_head import TextHead
from ..utils.state import rename_key

_DEFINED_BY = dict(num_classes='train_classes and test_classes define the number of classes',
                   channels="CLIP's embeddings define the number of channels")


@MODELS.register_module()
class MultiPromptTextHead(TextHead, BaseDecodeHead):
    """Pixel classifier by text embeddings of class names under several prompts.

    ``logits = logit_scale * sum_i cos(F, t_i)`` over the k segmentation prompts, ``tau_1`` of the paper, or another
    fusion of the k cosines. With a global prompt, GPR adds ``log g``, computed from the global prompt's class map
    (MVP-SEG, fused mask and Global Prompt Refining). With ``TemplatePrompts`` and without losses, the head is MaskCLIP.
    A learned 1x1 projection adapts backbone channels to CLIP's embedding size if they differ.

    Args:
        clip (dict): ``model`` and ``weights`` of the text tower's CLIP, see :func:`mmseg_mvp.clip.load_clip`.
        train_classes (str | list): Training vocabulary in the order of the labels.
        test_classes (str | list, optional): Test vocabulary; None takes ``train_classes``.
        prompts (dict): Config of ``LearnedPrompts`` or ``TemplatePrompts``.
        scale (float): Initial ``k * logit_scale``. ``logit_scale`` starts at ``scale / k``, because the sum over views
            grows with k. Not given in the paper.
        learn_scale (bool): If True and the prompts are learned, ``logit_scale`` is learned.
        synonyms (str): ``'max'`` or ``'mean'``, see :class:`TextClassifier`.
        fusion (str | dict): ``'sum'`` (the paper's), ``'logsumexp'`` or a dict, see
            :class:`mmseg_mvp.models.text.view_fusion.ViewFusion`.
        gpr (dict, optional): Config of GPR, which needs a global prompt.
        loss_decode (dict): Config of ``RefinedSegLoss``, or of an mmseg loss, which receives the refined logits.
        loss_presence (dict, optional): Config of the loss of the global prompt.
        loss_oc (dict, optional): Config of the orthogonal constraint loss of the segmentation prompts.
        in_channels (int | list[int], optional): Channels of the backbone's features; None takes CLIP's embedding size.
            A list needs ``input_transform='resize_concat'``.
        **kwargs: ``in_index``, ``input_transform``, ``ignore_index``, ``align_corners`` and ``init_cfg`` of mmseg's
            ``BaseDecodeHead``.

    Raises:
        UserError: If the CLIP, the prompts, a vocabulary or a number is not valid, or GPR has no global prompt.
    """

    def __init__(self, clip: dict, train_classes: str | list, test_classes: str | list | None = None,
                 prompts: dict = dict(type='LearnedPrompts'), scale: float = 30., learn_scale: bool = True,
                 synonyms: str = 'max', fusion: str | dict = 'sum', gpr: dict | None = None,
                 loss_decode: dict = dict(type='RefinedSegLoss'), loss_presence: dict | None = None,
                 loss_oc: dict | None = None, in_channels: int | None = None, **kwargs) -> None:
        check_number('MultiPromptTextHead.scale, k * logit_scale,', scale, above=0)
        if given := [key for key in ('num_classes', 'channels') if key in kwargs]:
            raise UserError(f'MultiPromptTextHead.{given[0]} is set, but {_DEFINED_BY[given[0]]}: omit {given[0]}; if '
                            f"a base config sets it, write decode_head=dict(_delete_=True, type='MultiPromptTextHead', "
                            f'...).')
        check_number('MultiPromptTextHead.ignore_index', kwargs.get('ignore_index', 255), whole=True)
        if isinstance(in_channels, (list, tuple)) and kwargs.get('input_transform') != 'resize_concat':
            raise UserError(f'MultiPromptTextHead.in_channels is {list(in_channels)}, but it takes one feature map: '
                            f'set in_channels and in_index to one of each, such as in_channels={in_channels[-1]}, '
                            f"in_index=-1, or input_transform='resize_concat' for all of them.")
        if in_channels is not None and not isinstance(in_channels, (list, tuple)):
            check_number('MultiPromptTextHead.in_channels', in_channels, least=1, whole=True)
        classifier = TextClassifier(clip, prompts, train_classes, test_classes, synonyms, fusion)
        channels = classifier.embed_dim
        kwargs = dict(dict(dropout_ratio=0., init_cfg=None), **kwargs)
        super().__init__(in_channels or channels, channels, num_classes=len(classifier.test_vocabulary),
                         loss_decode=loss_decode, **kwargs)
        del self.conv_seg  # replaced by text embeddings; DDP fails with unused layers
        self.classifier = classifier
        self.projection = nn.Identity() if self.in_channels == channels else nn.Conv2d(self.in_channels, channels, 1)
        log_scale = torch.tensor(math.log(scale / classifier.prompts.num_views))
        self.log_scale = nn.Parameter(log_scale, requires_grad=bool(learn_scale) and classifier.prompts.learnable)
        if gpr is not None and not classifier.prompts.has_global:
            raise UserError('MultiPromptTextHead.gpr is set, but its prompts have no global prompt: use '
                            'LearnedPrompts with global_prompt=True, or gpr=None.')
        self.gpr, self.loss_presence, self.loss_oc = (
            None if config is None else MODELS.build(config) for config in (gpr, loss_presence, loss_oc))

    @property
    def logit_scale(self) -> Tensor:
        """Factor of the summed cosines, a scalar (), ``tau_1`` of the paper."""
        return self.log_scale.exp()

    def class_weights(self) -> Tensor:
        """Return the text embeddings that score features, (V, S, D): segmentation prompts, then ``t_0`` with GPR."""
        weights = self.classifier.score_weights()
        return weights if self.gpr is not None else weights[:self.classifier.fusion.rows]

    def class_maps(self, inputs: tuple[Tensor, ...], words: bool = False) -> Tensor:
        """Compute spatial class maps of backbone features, (B, C_in, h, w) each, before refinement.

        With ``words``, each word (wording of a class) has a map of its own, so C is their number.

        Returns:
            Tensor: Fused logits, such as ``logit_scale * sum_i m_i``, (B, C, h, w). With GPR, the global prompt's map
            ``m_0`` follows, (B, 2C, h, w).
        """
        score = self.classifier.word_maps if words else self.classifier
        maps = score(self.features(inputs), self.class_weights())  # (B, 1 or 2, C, h, w)
        return torch.cat([self.logit_scale * maps[:, 0], *maps[:, 1:].unbind(1)], dim=1)

    def view_maps(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute one map per prompt of backbone features, (B, C_in, h, w) each, for visualization.

        Returns:
            Tensor: Cosines, (B, P, C, h, w), of the global prompt, if present, then of the k segmentation prompts.
        """
        return self.classifier.view_maps(self.features(inputs))

    def features(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return features of unit norm in CLIP's space, (B, D, h, w), of backbone features, (B, C_in, h, w) each.

        Raises:
            UserError: If the backbone features do not fit.
        """
        features = self._transform_inputs(inputs)
        check_tensor('MultiPromptTextHead', features, 'B, C_in, h, w', self.log_scale)
        if features.shape[1] != self.in_channels:
            raise UserError(f'MultiPromptTextHead.in_channels is {self.in_channels}, but the backbone gives features '
                            f'of {features.shape[1]} channels: set in_channels to that.')
        return F.normalize(self.projection(features), dim=1)

    def refine(self, maps: Tensor) -> Tensor:
        """Compute ``logit_scale * sum_i m_i + log g``, (B, C, h, w), of class maps (B, C or 2C, h, w)."""
        return _refined(*self._split(maps))

    def _split(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split class maps (B, C or 2C, h, w) into logits (B, C, h, w) and, with GPR, presence logits (B, C)."""
        if self.gpr is None:
            return maps, None
        logits, global_map = maps.chunk(2, dim=1)
        return logits, self.gpr.logits(global_map)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute refined logits (B, C, h, w) of backbone features, (B, C_in, h, w) each."""
        return self.features(inputs) if self.returns_features else self.refine(self.class_maps(inputs))

    def loss(self, inputs: tuple[Tensor, ...], batch_data_samples: SampleList, train_cfg: dict | None = None) -> dict:
        """Compute the losses of a batch and, for the log, the learned scales and figures of the prompts, scalars ().

        Of the mean context vectors of the prompts, ``prompt_cosine`` is the mean cosine and ``prompt_norm_i`` the norm
        of the i-th. Backbone features are (B, C_in, h, w) each, and ``gt_sem_seg`` of each sample is (1, H, W).

        Raises:
            UserError: If a label is out of range.
        """
        logits, presence = self._split(self.class_maps(inputs))
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)  # (B, 1, H, W) -> (B, H, W)
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
        losses['logit_scale'] = self.logit_scale.detach()
        if self.gpr is not None:
            losses['temperature'] = self.gpr.temperature.detach()
        if self.classifier.prompts.learnable and self.classifier.prompts.num_views > 1:
            contexts = self.classifier.prompts.seg_contexts
            losses['prompt_cosine'] = pair_cosines(contexts.detach()).mean()
            norms = contexts.detach().mean(dim=1).norm(dim=1)  # (k, M, width) -> (k,)
            losses.update({f'prompt_norm_{view}': norm for view, norm in enumerate(norms, 1)})
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

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        rename_key(state_dict, prefix, 'log_tau_1', 'log_scale')
        super()._load_from_state_dict(state_dict, prefix, *args)


def _refined(logits: Tensor, presence: Tensor | None) -> Tensor:
    """Add ``log g`` of presence logits (B, C), if given, to logits (B, C, h, w): (B, C, h, w)."""
    return logits if presence is None else logits + F.logsigmoid(presence)[:, :, None, None]
