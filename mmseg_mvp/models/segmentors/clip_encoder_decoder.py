"""The segmentor of CLIP-based heads."""
import inspect
import logging
from collections.abc import Iterator

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor

from mmseg_mvp.errors import UserError

from .label_map import LogitsNotKept, LowResLogits, image_matrices, label_map


@MODELS.register_module()
class CLIPEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` for heads whose class maps are refined image by image.

    Differences to the base class:

    - Whole and sliding inference share one path: windows are stitched at feature resolution, then the head refines the
      whole map (GPR sees the image, not a window). Windows start at multiples of the backbone's stride, so stitching
      needs no resizing and no full-size padding.
    - ``predict`` goes from low-resolution logits straight to the label map; full-size ``seg_logits`` are in the samples
      only with ``test_cfg.keep_logits=True``, ``low_res_logits`` always.
    - ``set_classes`` changes the vocabulary at run time.
    - A loss that is not finite stops training and names the part.
    - A checkpoint that holds nothing for this model is refused.

    The head gives ``class_maps`` (what a window contributes) and ``refine`` (what an image makes of it).

    Args:
        backbone (dict): Config of the backbone, with a ``stride``.
        decode_head (dict): Config of the head.
        clip (dict, optional): ``model`` and ``weights`` of the CLIP, for the backbone and the head alike, as far as
            they take one; either may have a ``clip`` of its own.
        **kwargs: As in mmseg's ``EncoderDecoder``.
    """

    def __init__(self, backbone: dict, decode_head: dict, clip: dict | None = None, **kwargs) -> None:
        super().__init__(backbone=_with_clip(backbone, clip), decode_head=_with_clip(decode_head, clip), **kwargs)
        self._report_window_sizes()

    def set_classes(self, classes: str | list) -> None:
        """Segment by other names from now on.

        Args:
            classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        """
        self.decode_head.set_classes(classes)
        self.num_classes, self.out_channels = self.decode_head.num_classes, self.decode_head.out_channels

    def class_maps(self, inputs: Tensor) -> Tensor:
        """What the head says of an image or a window.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).

        Returns:
            Tensor: Class maps, (B, M, ceil(H/stride), ceil(W/stride)); M depends on the head.
        """
        return self.decode_head.class_maps(self.extract_feat(inputs))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Segment whole images.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            batch_img_metas (list[dict]): Not used: sizes are those of ``inputs``.

        Returns:
            Tensor: Logits, (B, C, H, W).
        """
        return self._to_image_size(self.class_maps(inputs), inputs)

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Segment in overlapping windows of ``test_cfg.crop_size`` every ``test_cfg.stride`` pixels.

        Args:
            inputs (Tensor): Normalised images, (B, 3, H, W).
            batch_img_metas (list[dict]): Not used: sizes are those of ``inputs``.

        Returns:
            Tensor: Logits, (B, C, H, W).
        """
        return self._to_image_size(self._stitched_class_maps(inputs), inputs)

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
            UserError: If ``test_cfg.mode`` is neither 'whole' nor 'slide'.
        """
        logits = self.decode_head.refine(self._maps_of_mode(inputs))
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        samples = data_samples or [SegDataSample() for _ in metas]
        for sample, maps, meta in zip(samples, logits, metas):
            rows, columns = image_matrices(maps, self._padded(maps), inputs.shape[2:], meta, self.align_corners)
            low_res = LowResLogits(logits=maps, rows=rows, columns=columns)
            keep = self.test_cfg.get('keep_logits', False)
            sample.set_data(dict(
                low_res_logits=low_res,
                seg_logits=PixelData(data=low_res.resize()) if keep else LogitsNotKept(),
                pred_sem_seg=PixelData(data=label_map(maps, rows, columns)[None])))
        return samples

    def _maps_of_mode(self, inputs: Tensor) -> Tensor:
        """Class maps (B, M, h, w) by the inference that ``test_cfg`` names."""
        mode = self.test_cfg.get('mode', 'whole')
        if mode not in ('whole', 'slide'):
            raise UserError(f"model.test_cfg.mode is '{mode}', but there are 'whole' and 'slide'.")
        return self._stitched_class_maps(inputs) if mode == 'slide' else self.class_maps(inputs)

    def _stitched_class_maps(self, inputs: Tensor) -> Tensor:
        """Class maps (B, M, h, w), averaged over the windows that see a position."""
        stride = self.backbone.stride
        grid = [-(-side // stride) for side in inputs.shape[2:]]
        total, count = None, inputs.new_zeros(1, 1, *grid)
        for rows, columns in self._windows(grid):
            window = inputs[..., rows.start * stride:rows.stop * stride, columns.start * stride:columns.stop * stride]
            maps = self.class_maps(window)
            if total is None:
                total = maps.new_zeros(*maps.shape[:2], *grid)
            total[..., rows, columns] += maps
            count[..., rows, columns] += 1
        return total / count

    def _report_window_sizes(self) -> None:
        """Say which window sizes are not multiples of the backbone's stride, and what is taken instead."""
        for name in ('crop_size', 'stride') if (self.test_cfg or {}).get('mode') == 'slide' else ():
            asked = tuple(self.test_cfg[name])
            taken = tuple(self._in_features(side) * self.backbone.stride for side in asked)
            if taken != asked:
                print_log(f'test_cfg.{name} is {asked}, but windows start and end at multiples of the backbone\'s '
                          f'stride of {self.backbone.stride} pixels: {taken} is taken.', 'current', logging.WARNING)

    def _in_features(self, pixels: int) -> int:
        """A window's size or step in features, at least 1."""
        return max(pixels // self.backbone.stride, 1)

    def _windows(self, grid: list[int]) -> Iterator[tuple[slice, slice]]:
        """Windows in features: every position is covered, the last ones end at the border."""
        spans = []
        for cells, crop, step in zip(grid, self.test_cfg['crop_size'], self.test_cfg['stride']):
            crop, step = min(self._in_features(crop), cells), self._in_features(step)
            starts = [*range(0, cells - crop, step), cells - crop]
            spans.append([slice(start, start + crop) for start in starts])
        return ((rows, columns) for rows in spans[0] for columns in spans[1])

    def _to_image_size(self, maps: Tensor, inputs: Tensor) -> Tensor:
        """Refine class maps (B, M, h, w) and resize them to the images: (B, C, H, W).

        The backbone pads images to multiples of its stride, so the maps may reach beyond the image.
        """
        height, width = inputs.shape[2:]
        logits = self.decode_head.refine(maps)
        logits = resize(logits, size=self._padded(maps), mode='bilinear', align_corners=self.align_corners)
        return logits[..., :height, :width]

    def _padded(self, maps: Tensor) -> tuple[int, int]:
        """Pixels that maps (..., h, w) stand for, with the backbone's padding."""
        height, width = (cells * self.backbone.stride for cells in maps.shape[-2:])
        return height, width

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
            parts = {name: float(value) for name, value in log_vars.items() if not torch.isfinite(value)}
            parts.pop('loss', None)
            raise UserError(f'Training stopped because the loss is not finite: {parts}; lower the learning rate '
                            f'(optim_wrapper.optimizer.lr), clip gradients (optim_wrapper.clip_grad), or look at the '
                            f'last batch.')
        return loss, log_vars

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        own = self.state_dict().keys()
        if own and not any(f'{prefix}{key}' in state_dict for key in own):
            raise UserError(f'The checkpoint holds nothing for this model: found {len(state_dict)} entries such as '
                            f"{list(state_dict)[:3]}, expected ones such as '{next(iter(own))}'; give the checkpoint "
                            f"that tools/train.py wrote for this config's model.")
        super()._load_from_state_dict(state_dict, prefix, *args)


def _with_clip(part: dict, clip: dict | None) -> dict:
    """The part's config with the shared CLIP, if its class takes one and the config names none."""
    if clip is None or 'clip' not in inspect.signature(MODELS.get(part['type']).__init__).parameters:
        return part
    return dict(dict(clip=clip), **part)
