"""Segmentor for heads with a vocabulary, with label maps computed without full-size logits."""
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList, stack_batch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import component_class, takes

from ..modules.pamr import build_refinement
from ..utils.label_map import LogitsNotKept, LowResLogits, image_matrices
from ..utils.refined_logits import RefinedLogits
from ..utils.tiled_resize import resize_maps
from .normalisation import normalisation_of, warn_of_other_normalisation, with_normalisation
from .sample_vocabularies import sample_vocabularies


@MODELS.register_module()
class OpenVocabEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` for text heads.

    Differences to the base class:

    - ``set_classes`` replaces the vocabulary at run time. Samples with a ``vocabulary`` (from ``PackVocabulary``, for
      example) are scored against their own vocabulary, in training and testing.
    - ``predict`` computes label maps directly from low-resolution logits. Samples always contain ``low_res_logits``,
      and full-size ``seg_logits`` only with ``test_cfg.keep_logits=True``. In sliding inference, mmseg stitches windows
      at image size. ``test_cfg.refine`` refines the borders at the size of the label map, see :class:`PAMR`.
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
        backbone = _with_clip(backbone, clip)
        super().__init__(backbone=backbone, decode_head=_with_clip(decode_head, clip),
                         auxiliary_head=_with_clip(auxiliary_head, clip),
                         data_preprocessor=with_normalisation(data_preprocessor, normalisation_of(backbone)), **kwargs)
        warn_of_other_normalisation(self)
        self.test_cfg = ConfigDict(dict(mode='whole'), **(self.test_cfg or {}))
        self.refinement = build_refinement(self.test_cfg.get('refine'))
        self._check_class_token()
        self.size_divisor = size_divisor
        self.data_preprocessor.seg_pad_val = self.decode_head.ignore_index  # padding is never a class

    def _check_class_token(self) -> None:
        if self.test_cfg.get('class_token_weight'):
            raise UserError(f'{type(self).__name__} takes no test_cfg.class_token_weight, because it needs the '
                            f'features of CLIP: omit it, or use CLIPEncoderDecoder with CLIPImageEncoder.')

    def init_weights(self) -> None:
        """Initialise as mmseg does. Runs before training only.

        Raises:
            UserError: If pretrained weights of an ``init_cfg`` cannot be loaded.
        """
        try:
            super().init_weights()
        except OSError as error:  # missing file, no network
            raise UserError(f'Pretrained weights cannot be loaded ({error}): set the init_cfg.checkpoint of the '
                            f'backbone (model.backbone.init_cfg.checkpoint) to a file, or its init_cfg to '
                            f'None.') from error

    def set_classes(self, classes: str | list) -> None:
        """Replace the test vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`."""
        classifier = self.decode_head.classifier
        classifier.test_vocabulary = classifier.read_vocabulary(classes)
        for part in (self, self.decode_head):
            part.num_classes = part.out_channels = len(classifier.test_vocabulary)

    def forward(self, inputs: Tensor, data_samples: OptSampleList = None, mode: str = 'tensor') -> object:
        """Run the model as in mmseg, for images (B, 3, H, W). Its own ``vocabulary`` in the metainfo scores a sample.

        Raises:
            UserError: If only some samples have a vocabulary, the head does not classify by text, or a label is not in
                the sample's vocabulary.
        """
        with sample_vocabularies(self, data_samples or []):
            return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Compute losses, scalars (), of images (B, 3, H, W) padded to multiples of ``size_divisor``."""
        if any(side % self.size_divisor for side in inputs.shape[2:]):
            inputs, data_samples = stack_batch(list(inputs), data_samples, size_divisor=self.size_divisor,
                                               seg_pad_val=self.decode_head.ignore_index)
        return super().loss(inputs, data_samples)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Segment images or windows (B, 3, H, W): logits (B, C, H, W). ``batch_img_metas`` is not used."""
        padded = self._pad(inputs)
        logits = super().encode_decode(padded, [dict(img_shape=padded.shape[2:])] * len(inputs))
        return logits[..., :inputs.shape[2], :inputs.shape[3]]

    def _pad(self, inputs: Tensor) -> Tensor:
        """Pad images (B, 3, H, W) to multiples of ``size_divisor``."""
        bottom, right = (-side % self.size_divisor for side in inputs.shape[2:])
        return F.pad(inputs, (0, right, 0, bottom)) if bottom or right else inputs

    def low_res_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Compute logits of images (B, 3, H, W) before the resize, in the inference mode of ``test_cfg.mode``.

        Returns:
            tuple[Tensor, tuple[int, int]]: Logits (B, C, h, w), at the head's resolution or stitched from windows, and
            their height and width in pixels, including padding.

        Raises:
            UserError: If ``test_cfg.mode`` is not 'whole' or 'slide'.
        """
        mode = self.test_cfg.mode
        if mode not in ('whole', 'slide'):
            raise UserError(f"model.test_cfg.mode is '{mode}': expected 'whole' or 'slide'.")
        return self._slide_logits(inputs) if mode == 'slide' else self._whole_logits(inputs)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Segment images (B, 3, H, W) in the inference mode of ``test_cfg.mode``: logits (B, C, H, W).

        ``batch_img_metas`` is mmseg's argument and is not used. ``test_cfg.refine`` refines the logits.
        """
        logits, covered = self.low_res_logits(inputs)
        if self.refinement is not None:
            return torch.stack([self._of_image(maps, covered, image, {}).resize()
                                for maps, image in zip(logits, inputs)])
        logits = resize(logits, size=covered, mode='bilinear', align_corners=self.align_corners)
        return logits[..., :inputs.shape[2], :inputs.shape[3]]

    def _whole_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        padded = self._pad(inputs)
        return self.decode_head(self.extract_feat(padded)), tuple(padded.shape[2:])

    def _slide_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return logits (B, C, H, W) stitched by mmseg, and their size."""
        metas = [dict(img_shape=inputs.shape[2:])] * len(inputs)
        return self.slide_inference(inputs, metas), tuple(inputs.shape[2:])

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Predict label maps of images (B, 3, H, W) in the inference mode of ``test_cfg.mode``.

        Label maps have the original size if ``data_samples`` are given, else the size of the inputs.

        Returns:
            list[SegDataSample]: Samples with ``pred_sem_seg``, (1, H, W) int64, and ``low_res_logits``. With
            ``test_cfg.keep_logits=True`` also ``seg_logits``, (C, H, W).

        Raises:
            UserError: If ``test_cfg.mode`` is not 'whole' or 'slide', or the logits are not finite.
        """
        logits, covered = self.low_res_logits(inputs)
        if not torch.isfinite(logits.sum(dtype=torch.float32)):  # argmax hides nan
            raise UserError('The model\'s logits are not finite, so there is no prediction: check its checkpoint and '
                            'the image for values that are not finite, and compute in float32.')
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        samples = data_samples or [SegDataSample() for _ in metas]
        for sample, maps, image, meta in zip(samples, logits, inputs, metas):
            low_res = self._of_image(maps, covered, image, meta)
            keep = self.test_cfg.get('keep_logits', False)
            sample.set_data(dict(
                low_res_logits=low_res,
                seg_logits=PixelData(data=low_res.resize()) if keep else LogitsNotKept(),
                pred_sem_seg=PixelData(data=low_res.label_map()[None])))
        return samples

    def _of_image(self, logits: Tensor, covered: tuple[int, int], image: Tensor, meta: dict) -> LowResLogits:
        """Attach to logits (C, h, w) their resize to the original image and, if set, the refinement by its colours.

        The image is the network's input, (3, H', W'), and ``meta`` as in :func:`image_matrices`.
        """
        size = image.shape[1:]
        rows, columns = image_matrices(logits, covered, size, meta, self.align_corners)
        if self.refinement is None:
            return LowResLogits(logits=logits, rows=rows, columns=columns)
        with torch.autocast(image.device.type, enabled=False):
            colours = image.to(rows)
            colours = resize_maps(colours, *image_matrices(colours, size, size, meta, self.align_corners))
        return RefinedLogits(logits=logits, rows=rows, columns=columns, image=colours,
                             metainfo=dict(refinement=self.refinement))

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
