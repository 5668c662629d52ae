"""Segmentor for heads with a vocabulary, with label maps computed without full-size logits."""
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.utils import OptSampleList, SampleList, stack_batch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import component_class, takes
from mmseg_mvp.utils.reach import check_pretrained

from ..modules.pamr import build_refinement
from ..text.example_rows import ExampleRows
from .low_res_inference import LowResInference
from .normalisation import normalisation_of, warn_of_other_normalisation, with_normalisation
from .sample_vocabularies import sample_vocabularies
from .settings import LabelSettings, check_test_cfg


@MODELS.register_module()
class OpenVocabEncoderDecoder(LabelSettings, LowResInference, EncoderDecoder):
    """mmseg's ``EncoderDecoder`` for text heads.

    Differences to the base class:

    - ``set_classes`` replaces the vocabulary at run time. Samples with a ``vocabulary`` (from ``PackVocabulary``, for
      example) are scored against their own vocabulary, in training and testing.
    - ``predict`` computes label maps directly from low-resolution logits. Samples always contain ``low_res_logits``,
      and full-size ``seg_logits`` only with ``test_cfg.keep_logits=True``. In sliding inference, mmseg stitches windows
      at image size. ``test_cfg.refine`` refines the borders at the size of the label map, see :class:`PAMR`.
    - ``test_cfg.prob_thd`` gives pixels whose class is less probable the label ``bg_idx``, ``area_thd`` removes classes
      with at most this share of the foreground of the image. An unknown key of ``test_cfg`` is refused.
    - A loss that is not finite stops training with an error that names the part.
    - Loading fails for a checkpoint without any entry for this model.

    Args:
        backbone (dict): Config of the backbone.
        decode_head (dict): Config of the head.
        clip (dict, optional): ``model`` and ``weights`` of the CLIP, for the backbone and all heads with a ``clip``
            parameter. A ``clip`` in their own config has priority.
        auxiliary_head (dict | list[dict], optional): As in mmseg's ``EncoderDecoder``.
        data_preprocessor (dict | nn.Module, optional): As in mmseg. With a CLIP backbone, ``mean`` and ``std`` that are
            not set are those of the CLIP; other values log a warning.
        size_divisor (int): Image height and width are padded with zeros, at the bottom and right, to a multiple of
            this.
        **kwargs: Arguments of mmseg's ``EncoderDecoder``.
    """

    def __init__(self, backbone: dict, decode_head: dict, clip: dict | None = None,
                 auxiliary_head: dict | list | None = None, data_preprocessor: dict | nn.Module | None = None,
                 size_divisor: int = 1, **kwargs) -> None:
        check_test_cfg(kwargs.get('test_cfg') or {})  # before weights are loaded
        backbone = _with_clip(backbone, clip)
        super().__init__(backbone=backbone, decode_head=_with_clip(decode_head, clip),
                         auxiliary_head=_with_clip(auxiliary_head, clip),
                         data_preprocessor=with_normalisation(data_preprocessor, normalisation_of(backbone)), **kwargs)
        warn_of_other_normalisation(self)
        self.test_cfg = ConfigDict(dict(mode='whole'), **(self.test_cfg or {}))
        self.refinement = build_refinement(self.test_cfg.get('refine'))
        self._check_settings()
        self.size_divisor = size_divisor
        self.data_preprocessor.seg_pad_val = self.decode_head.ignore_index  # padding is never a class

    def init_weights(self) -> None:
        """Initialise as mmseg does. Runs before training only.

        Raises:
            UserError: If pretrained weights of an ``init_cfg`` cannot be loaded.
        """
        try:
            check_pretrained(self)
            super().init_weights()
        except OSError as error:  # missing file, no network
            raise UserError(f'Pretrained weights cannot be loaded ({error}): set the init_cfg.checkpoint of the '
                            f'backbone (model.backbone.init_cfg.checkpoint) to a file, or its init_cfg to '
                            f'None.') from error

    def set_classes(self, classes: str | list, examples: ExampleRows | None = None) -> None:
        """Replace the test vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.

        A class of ``examples`` needs no wordings, ``{'widget': ()}``.

        Raises:
            UserError: If it is not valid, or lacks the background of ``test_cfg.bg_idx``, which is found by its name.
        """
        classifier = self.decode_head.classifier
        before = classifier.test_vocabulary, classifier.examples
        classifier.set_test_classes(classes, examples)
        try:
            self._decision(dict(vocabulary=classifier.test_vocabulary))
        except UserError:
            classifier.test_vocabulary, classifier.examples = before
            raise
        for part in (self, self.decode_head):
            part.num_classes = part.out_channels = len(classifier.test_vocabulary)

    @torch.no_grad()
    def text_space_features(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Compute the features of images (B, 3, H, W) that the head compares with text embeddings.

        Sliding windows are stitched at the size of the image, which needs D x H x W values.

        Returns:
            tuple[Tensor, tuple[int, int]]: Features of unit norm along D, (B, D, h, w), and their height and width in
            pixels, as in :meth:`low_res_logits`.
        """
        before, self.out_channels = self.out_channels, self.decode_head.classifier.embed_dim  # of sliding windows
        try:
            with self.decode_head.returning_features():
                features, covered = self.low_res_logits(inputs)
        finally:
            self.out_channels = before
        return F.normalize(features, dim=1), covered

    def forward(self, inputs: Tensor, data_samples: OptSampleList = None, mode: str = 'tensor') -> object:
        """Run the model as in mmseg, for images (B, 3, H, W). Its own ``vocabulary`` in the metainfo scores a sample.

        Raises:
            UserError: If only some samples have a vocabulary, the head does not classify by text, or a label is not in
                the sample's vocabulary.
        """
        with sample_vocabularies(self, data_samples or []):
            return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor | tuple[Tensor, ...], data_samples: SampleList) -> dict:
        """Compute losses, scalars (), of images (B, 3, H, W) padded to multiples of ``size_divisor``.

        In place of images, ``inputs`` can be their features, as ``extract_feat`` returns them (:class:`FeatureInputs`).
        """
        if isinstance(inputs, Tensor):
            inputs, data_samples = self.padded_batch(inputs, data_samples)
        return super().loss(inputs, data_samples)

    def padded_batch(self, inputs: Tensor, data_samples: SampleList) -> tuple[Tensor, SampleList]:
        """Pad images (B, 3, H, W) and their label maps to multiples of ``size_divisor``, for training."""
        if all(side % self.size_divisor == 0 for side in inputs.shape[2:]):
            return inputs, data_samples
        return stack_batch(list(inputs), data_samples, size_divisor=self.size_divisor,
                           seg_pad_val=self.decode_head.ignore_index)

    def extract_feat(self, inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Extract the features of images (B, 3, H, W), (B, C_i, h_i, w_i) each; features pass unchanged."""
        return inputs if isinstance(inputs, tuple) else super().extract_feat(inputs)

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """Sum losses, scalars (), as in mmengine.

        Raises:
            UserError: If the sum is not finite, with the parts that are not.
        """
        loss, log_vars = super().parse_losses(losses)
        if not torch.isfinite(loss):
            parts = {name: value.item() for name, value in log_vars.items() if not torch.isfinite(value)}
            parts.pop('loss', None)
            raise UserError(f'Training stopped because the loss is not finite: {parts}; lower the learning rate '
                            f'(optim_wrapper.optimizer.lr), clip gradients (optim_wrapper.clip_grad), or check the '
                            f'last batch.')
        return loss, log_vars

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        own = self.state_dict().keys()
        # As a submodule (moving average of a student), the model can be absent from a checkpoint.
        if own and not prefix and not any(key in state_dict for key in own):
            raise UserError(f'The checkpoint has no entry for this model: found {len(state_dict)} entries such as '
                            f"{list(state_dict)[:3]}, expected ones such as '{next(iter(own))}'; give the checkpoint "
                            f"that tools/train.py wrote for this config's model.")
        super()._load_from_state_dict(state_dict, prefix, *args)


def _with_clip(part: dict | list | None, clip: dict | None) -> dict | list | None:
    """Add the shared CLIP to the config of a part (or several) that takes ``clip`` and does not set it."""
    if isinstance(part, (list, tuple)):
        return [_with_clip(one, clip) for one in part]
    if clip is None or part is None or not takes(component_class(part['type'], MODELS), 'clip'):
        return part
    return type(part)(dict(dict(clip=clip), **part))  # mmseg sets attributes of a ConfigDict
