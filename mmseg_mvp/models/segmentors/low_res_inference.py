"""Inference of segmentors with label maps from logits at feature resolution, without full-size logits."""
import torch
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError

from ..utils.label_map import image_matrices, to_original
from ..utils.low_res_logits import LogitsNotKept, LowResLogits
from ..utils.refined_logits import RefinedLogits
from ..utils.tiled_resize import resize_maps, resize_matrices


class LowResInference:
    """Mixin of mmseg's ``EncoderDecoder`` for inference; see :class:`OpenVocabEncoderDecoder`."""

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

        ``batch_img_metas`` is mmseg's argument and is not used. ``test_cfg.refine`` refines the logits. With a
        ``test_cfg.word_softmax`` or a threshold, the result is the logarithm of the probabilities before thresholds.
        """
        logits, covered = self.low_res_logits(inputs)
        if self.refinement is not None or self._decision() is not None or self.test_cfg.get('stitch') == 'pixels':
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
        rows, columns = to_original(*self._input_matrices(logits, covered), size, meta, self.align_corners)
        decision = self._decision(meta)
        if decision is not None:
            logits = logits[:sum(decision.row_counts)]  # without padding for a batch of several vocabularies
        if self.refinement is None:
            return LowResLogits(logits=logits, rows=rows, columns=columns, metainfo=dict(decision=decision))
        with torch.autocast(image.device.type, enabled=False):
            colours = image.to(rows)
            colours = resize_maps(colours, *image_matrices(colours, size, size, meta, self.align_corners))
        return RefinedLogits(logits=logits, rows=rows, columns=columns, image=colours,
                             metainfo=dict(decision=decision, refinement=self.refinement))

    def _input_matrices(self, logits: Tensor, covered: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return matrices (H', h) and (W', w) that resize logits (C, h, w) to the network's input."""
        return resize_matrices(logits, covered, self.align_corners)
