"""A segmentor for heads with a vocabulary: any names, label maps without full-size logits."""
import inspect

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList, stack_batch
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError

from .label_lists import own_label_lists
from .label_map import LogitsNotKept, LowResLogits, image_matrices, label_map


@MODELS.register_module()
class OpenVocabEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` for heads that classify by text.

    Differences to the base class:

    - ``set_classes`` changes the vocabulary at run time; samples that carry a ``label_list`` (a transform such as
      ``PackLabelList`` puts it there) are scored against that, in training and in testing.
    - ``predict`` goes from low-resolution logits straight to the label map (windows are stitched by mmseg, at the size
      of the image); full-size ``seg_logits`` are in the samples only with ``test_cfg.keep_logits=True``,
      ``low_res_logits`` always.
    - A loss that is not finite stops training and names the part.
    - A checkpoint that holds nothing for this model is refused.

    Args:
        backbone (dict): Config of the backbone.
        decode_head (dict): Config of the head.
        clip (dict, optional): ``model`` and ``weights`` of the CLIP, for the backbone and all heads alike, as far as
            they take one; each may have a ``clip`` of its own.
        auxiliary_head (dict | list[dict], optional): As in mmseg's ``EncoderDecoder``.
        size_divisor (int): Images are padded with zeros, at the bottom and the right, to multiples of this.
        **kwargs: As in mmseg's ``EncoderDecoder``.
    """

    def __init__(self, backbone: dict, decode_head: dict, clip: dict | None = None,
                 auxiliary_head: dict | list | None = None, size_divisor: int = 1, **kwargs) -> None:
        super().__init__(backbone=_with_clip(backbone, clip), decode_head=_with_clip(decode_head, clip),
                         auxiliary_head=_with_clip(auxiliary_head, clip), **kwargs)
        self.test_cfg = ConfigDict(dict(mode='whole'), **(self.test_cfg or {}))
        self.size_divisor = size_divisor

    def init_weights(self) -> None:
        """Initialise as mmseg does: training begins here, a test does not.

        Raises:
            UserError: If pretrained weights that an ``init_cfg`` names can't be had.
        """
        try:
            super().init_weights()
        except OSError as error:  # no such file, no network
            raise UserError(f'Pretrained weights can\'t be had ({error}): set the init_cfg.checkpoint of the backbone '
                            f'(model.backbone.init_cfg.checkpoint) to a file, or its init_cfg to None.') from error

    def set_classes(self, classes: str | list) -> None:
        """Segment by other names from now on.

        Args:
            classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        """
        self.decode_head.set_classes(classes)
        self.num_classes, self.out_channels = self.decode_head.num_classes, self.decode_head.out_channels

    def forward(self, inputs: Tensor, data_samples: OptSampleList = None, mode: str = 'tensor') -> object:
        """As in mmseg, with each sample scored against its own ``label_list`` if it carries one.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            data_samples (list[SegDataSample], optional): A ``label_list`` in their meta information is a vocabulary,
                names and their wordings.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict | list[SegDataSample] | Tensor: As in mmseg.

        Raises:
            UserError: If some samples have a list and others don't, the head takes none, or a label is not in its list.
        """
        with own_label_lists(self, data_samples or []):
            return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses as in mmseg, of images padded to multiples of ``size_divisor``.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            data_samples (list[SegDataSample]): Ground truth, ``gt_sem_seg`` (1, H, W) each.

        Returns:
            dict[str, Tensor]: Scalars ().
        """
        if any(side % self.size_divisor for side in inputs.shape[2:]):
            inputs, data_samples = stack_batch(list(inputs), data_samples, size_divisor=self.size_divisor)
        return super().loss(inputs, data_samples)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Segment images, or windows of them.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            batch_img_metas (list[dict]): Not used: sizes are those of ``inputs``.

        Returns:
            Tensor: Logits, (B, C, H, W).
        """
        padded = self._pad(inputs)
        logits = super().encode_decode(padded, [dict(img_shape=padded.shape[2:])] * len(inputs))
        return logits[..., :inputs.shape[2], :inputs.shape[3]]

    def _pad(self, inputs: Tensor) -> Tensor:
        """Images (B, 3, H, W) with sides that are multiples of ``size_divisor``."""
        bottom, right = (-side % self.size_divisor for side in inputs.shape[2:])
        return F.pad(inputs, (0, right, 0, bottom)) if bottom or right else inputs

    def low_res_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Logits before they are resized to the image, by the inference that ``test_cfg.mode`` names.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).

        Returns:
            tuple[Tensor, tuple[int, int]]: Logits (B, C, h, w), of the head's resolution or as stitched from windows,
            and the height and width in pixels that h and w stand for: those of the images, with the padding of a
            backbone that pads.

        Raises:
            UserError: If ``test_cfg.mode`` is neither 'whole' nor 'slide'.
        """
        mode = self.test_cfg.mode
        if mode not in ('whole', 'slide'):
            raise UserError(f"model.test_cfg.mode is '{mode}', but there are 'whole' and 'slide'.")
        return self._slide_logits(inputs) if mode == 'slide' else self._whole_logits(inputs)

    def _whole_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        padded = self._pad(inputs)
        return self.decode_head(self.extract_feat(padded)), tuple(padded.shape[2:])

    def _slide_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Logits (B, C, H, W) that mmseg has stitched."""
        metas = [dict(img_shape=inputs.shape[2:])] * len(inputs)
        return self.slide_inference(inputs, metas), tuple(inputs.shape[2:])

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Label maps of images, whole or in windows as ``test_cfg.mode`` says.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            data_samples (list[SegDataSample], optional): Their meta information, as in mmseg; without it, label maps
                have the size of the inputs.

        Returns:
            list[SegDataSample]: With ``pred_sem_seg`` (1, H, W) int64 and ``low_res_logits``; with
            ``test_cfg.keep_logits=True`` also ``seg_logits`` (C, H, W) as in mmseg.

        Raises:
            UserError: If ``test_cfg.mode`` is neither 'whole' nor 'slide', or the logits are not finite.
        """
        logits, covered = self.low_res_logits(inputs)
        if not torch.isfinite(logits.sum(dtype=torch.float32)):  # an argmax would call it the first class
            raise UserError('The model\'s logits are not finite, so it has no prediction: look for values in its '
                            'checkpoint or in the image that are not, and compute in float32.')
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        samples = data_samples or [SegDataSample() for _ in metas]
        for sample, maps, meta in zip(samples, logits, metas):
            rows, columns = image_matrices(maps, covered, inputs.shape[2:], meta, self.align_corners)
            low_res = LowResLogits(logits=maps, rows=rows, columns=columns)
            keep = self.test_cfg.get('keep_logits', False)
            sample.set_data(dict(
                low_res_logits=low_res,
                seg_logits=PixelData(data=low_res.resize()) if keep else LogitsNotKept(),
                pred_sem_seg=PixelData(data=label_map(maps, rows, columns)[None])))
        return samples

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """Sum the losses, as in mmengine.

        Args:
            losses (dict[str, Tensor]): Loss parts, scalars (), and values to log.

        Returns:
            tuple[Tensor, dict]: The loss, a scalar (), and what is logged.

        Raises:
            UserError: If the loss is not finite, with the parts that are not.
        """
        loss, log_vars = super().parse_losses(losses)
        if not torch.isfinite(loss):
            parts = {name: value.item() for name, value in log_vars.items() if not torch.isfinite(value)}
            parts.pop('loss', None)
            raise UserError(f'Training stopped because the loss is not finite: {parts}; lower the learning rate '
                            f'(optim_wrapper.optimizer.lr), clip gradients (optim_wrapper.clip_grad), or look at the '
                            f'last batch.')
        return loss, log_vars

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        own = self.state_dict().keys()
        # As a part of another model (the moving average of a student) it may well be left out of a checkpoint.
        if own and not prefix and not any(key in state_dict for key in own):
            raise UserError(f'The checkpoint holds nothing for this model: found {len(state_dict)} entries such as '
                            f"{list(state_dict)[:3]}, expected ones such as '{next(iter(own))}'; give the checkpoint "
                            f"that tools/train.py wrote for this config's model.")
        super()._load_from_state_dict(state_dict, prefix, *args)


def _with_clip(part: dict | list | None, clip: dict | None) -> dict | list | None:
    """The part's config (or those of several) with the shared CLIP, if its class takes one and it names none."""
    if isinstance(part, (list, tuple)):
        return [_with_clip(one, clip) for one in part]
    if clip is None or part is None or not takes(part['type'], 'clip'):
        return part
    return dict(dict(clip=clip), **part)


def takes(component: str | type, parameter: str) -> bool:
    """Whether a registered class, or one that it hands its keywords to, has a parameter of this name."""
    found = MODELS.get(component) if isinstance(component, str) else component
    return any(parameter in inspect.signature(base.__init__).parameters for base in getattr(found, '__mro__', ()))
