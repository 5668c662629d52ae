"""Segmentor for CLIP-based heads."""
import logging
from collections.abc import Callable, Iterator

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from mmseg.utils import OptSampleList
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from ..backbones import CLIPImageEncoder
from ..text.text_head import TextHead
from ..utils.class_cleaning import smoothed_by_keys, without_absent
from ..utils.explanation import Explanation
from ..utils.label_map import to_original
from ..utils.pixel_windows import window_matrix, window_starts
from .open_vocab_encoder_decoder import OpenVocabEncoderDecoder
from .sample_vocabularies import sample_vocabularies


@MODELS.register_module()
class CLIPEncoderDecoder(OpenVocabEncoderDecoder):
    """``OpenVocabEncoderDecoder`` for heads that refine the class maps of a whole image.

    Whole and sliding inference share one path. Windows are stitched at feature resolution, then the head refines the
    whole map, so GPR sees the image instead of a window. Windows start at multiples of the backbone's stride, so
    stitching needs no resizing.

    ``test_cfg.stitch='pixels'`` enlarges the logits of each window to its pixels before the mean over windows, as mmseg
    and published code do, by matrices and without maps of that size. GPR needs the default ``'features'``.

    ``test_cfg.word_softmax=True`` takes the softmax over all words (wordings) before the maximum over the words of each
    class, at each pixel (SCLIP, arXiv 2312.01597). By default, the maximum over words is taken at feature resolution,
    and the softmax is over classes.

    ``test_cfg.class_token_weight`` w, 0 to 1, is a presence prior without training: each pixel scores
    ``(1 - w) * logits + w * logits of CLIP's embedding of the whole image``, so absent classes fade (CASS, arXiv
    2411.17150).

    ``test_cfg.prompt_denoise`` drops classes whose largest probability in the image is below it, and
    ``test_cfg.key_smooth`` replaces the probabilities of positions whose largest one is below it by means over the
    image, weighted by the similarity of CLIP's keys (MaskCLIP, arXiv 2112.01071). With ``stitch='pixels'``, the
    positions are those of all windows.

    The head provides ``class_maps`` (for a window) and ``refine`` (for an image).

    Args:
        backbone (dict): Config of the backbone, which has a ``stride``.
        decode_head (dict): Config of the head.
        **kwargs: Arguments of ``OpenVocabEncoderDecoder``.

    Raises:
        UserError: If a setting of ``test_cfg`` is out of range or does not fit the head, or
            a setting that needs a ``CLIPImageEncoder`` is set and the backbone is another.
    """

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(backbone, decode_head, **kwargs)
        if not hasattr(self.backbone, 'stride') or not hasattr(self.decode_head, 'class_maps'):
            raise UserError(f'CLIPEncoderDecoder refines class maps in the stride of its backbone, which '
                            f'{type(self.backbone).__name__} with {type(self.decode_head).__name__} does not give: '
                            f"write type='OpenVocabEncoderDecoder', or use CLIPImageEncoder with MultiPromptTextHead.")
        if isinstance(self.backbone, CLIPImageEncoder):
            self.decode_head.classifier.dense = str(self.backbone.dense)
        self._report_window_sizes()

    def class_maps(self, inputs: Tensor) -> Tensor:
        """Compute class maps (B, M, ceil(H/stride), ceil(W/stride)) of images (B, 3, H, W); M depends on the head."""
        return self._head_maps(self.extract_feat(inputs))

    def _head_maps(self, features: tuple[Tensor, ...]) -> Tensor:
        """Compute class maps, or with ``word_softmax`` maps of words, of backbone features."""
        words = dict(words=True) if self.test_cfg.get('word_softmax') else {}
        return self.decode_head.class_maps(features, **words)

    @torch.no_grad()
    def dense_features(self, inputs: Tensor) -> Tensor:
        """Compute features of unit norm in CLIP's space, (B, D, h, w), of images (B, 3, H, W).

        h = ceil(H / stride) and w = ceil(W / stride). Sliding windows are averaged and normalised again.
        """
        def features_of(images: Tensor) -> Tensor:
            return self.decode_head.features(self.extract_feat(images))

        if self.test_cfg.mode == 'slide':
            return F.normalize(self._stitched(inputs, features_of), dim=1)
        return features_of(inputs)

    def text_space_features(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return :meth:`dense_features` of images (B, 3, H, W), (B, D, h, w), and their size with the padding."""
        features = self.dense_features(inputs)
        height, width = (cells * self.backbone.stride for cells in features.shape[-2:])
        return features, (height, width)

    @torch.no_grad()
    def explain(self, inputs: Tensor, data_samples: OptSampleList = None) -> list[Explanation]:
        """Compute the maps of each prompt for images (B, 3, H, W), in the inference mode of ``predict``.

        It needs an additional pass. With ``synonyms='max'``, each map shows the best wording at each position.
        """
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        with sample_vocabularies(self, data_samples or []):
            maps = self._windowed(inputs, self._view_maps) if self.test_cfg.mode == 'slide' else self._view_maps(inputs)
        has_global, gpr = self.decode_head.classifier.prompts.has_global, self.decode_head.gpr
        presence = [None] * len(maps) if gpr is None else gpr(maps[:, 0]).exp()
        matrices, size = self._input_matrices(maps[0, 0], self._covered(maps, inputs)), inputs.shape[2:]
        return [Explanation(one, *to_original(*matrices, size, meta, self.align_corners), has_global, scores)
                for one, scores, meta in zip(maps, presence, metas)]

    def _view_maps(self, inputs: Tensor) -> Tensor:
        """Compute one map per prompt of images or windows, (B, P, C, h, w)."""
        return self.decode_head.view_maps(self.extract_feat(inputs))

    def _whole_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self._refined(self._maps(inputs), inputs)

    def _slide_logits(self, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self._refined(self._windowed(inputs, self._maps), inputs)

    def _maps(self, inputs: Tensor) -> Tensor:
        """Compute class maps (B, M, h, w) of images or windows; with ``key_smooth``, K maps of unit keys follow."""
        if not self.test_cfg.get('key_smooth'):
            return self.class_maps(inputs)
        features, keys = self.backbone.features_and_keys(inputs)
        maps = self._head_maps(self.neck(features) if self.with_neck else features)
        return torch.cat([maps, F.normalize(keys, dim=1)], dim=1)

    def _refined(self, maps: Tensor, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return refined logits (B, C, h, w) of the maps (B, M or M + K, h, w) of images, and their size in pixels."""
        smooth, denoise = self.test_cfg.get('key_smooth'), self.test_cfg.get('prompt_denoise')
        maps, keys = maps.tensor_split([-self.backbone.key_dim], dim=1) if smooth else (maps, None)
        logits = self.decode_head.refine(maps)
        if weight := self.test_cfg.get('class_token_weight'):
            prior = self._head_maps((self.backbone.image_embedding(inputs), ))  # (B, M, 1, 1)
            logits = (1 - weight) * logits + weight * prior[:, :logits.shape[1]]
        if denoise:
            words = self.test_cfg.get('word_softmax')
            counts = self.decode_head.classifier.row_counts if words else [1] * logits.shape[1]
            logits = without_absent(logits, counts, denoise)
        return smoothed_by_keys(logits, keys, smooth) if smooth else logits, self._covered(maps, inputs)

    def _check_features(self) -> None:
        weight = self.test_cfg.get('class_token_weight')
        if weight is not None:
            check_number('test_cfg.class_token_weight', weight, least=0, most=1)
        if not isinstance(self.backbone, CLIPImageEncoder):
            self._refuse('class_token_weight', 'prompt_denoise', 'key_smooth')
        elif self.test_cfg.get('key_smooth'):
            self.backbone.check_keys()
        head = self.decode_head
        if self.test_cfg.get('word_softmax') and (not isinstance(head, TextHead) or head.classifier.synonyms != 'max'):
            raise UserError(f"test_cfg.word_softmax needs the score of each word, but {type(head).__name__} joins the "
                            f"words of a class before: set decode_head.synonyms='max', or omit word_softmax.")
        if self.test_cfg.get('stitch') == 'pixels' and getattr(head, 'gpr', None) is not None:
            raise UserError("test_cfg.stitch='pixels' gives no map of the whole image in features, which GPR needs: "
                            "set stitch='features', or decode_head.gpr=None.")

    def _windowed(self, inputs: Tensor, maps_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute maps (B, ..., h, w) of images (B, 3, H, W) from windows: averaged, or all of them side by side."""
        if not self._in_pixels:
            return self._stitched(inputs, maps_of)
        rows, columns = ([slice(start, start + crop) for start in window_starts(side, crop, step)] for side, crop, step
                         in zip(inputs.shape[2:], self.test_cfg.crop_size, self.test_cfg.stride))
        return torch.cat([torch.cat([maps_of(inputs[..., y, x]) for x in columns], dim=-1) for y in rows], dim=-2)

    @property
    def _in_pixels(self) -> bool:
        """True if the maps of windows are averaged in pixels."""
        return self.test_cfg.mode == 'slide' and self.test_cfg.get('stitch') == 'pixels'

    def _input_matrices(self, logits: Tensor, covered: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if not self._in_pixels:
            return super()._input_matrices(logits, covered)
        rows, columns = (window_matrix(side, crop, step, self.backbone.stride, self.align_corners, logits)
                         for side, crop, step in zip(covered, self.test_cfg.crop_size, self.test_cfg.stride))
        return rows, columns

    def _stitched(self, inputs: Tensor, maps_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Average the maps (B, ..., h, w) of overlapping windows (B, 3, H', W')."""
        stride = self.backbone.stride
        grid = [-(-side // stride) for side in inputs.shape[2:]]
        total, count = None, inputs.new_zeros(grid)
        for rows, columns in self._windows(grid):
            window = inputs[..., rows.start * stride:rows.stop * stride, columns.start * stride:columns.stop * stride]
            maps = maps_of(window)
            if total is None:
                total = maps.new_zeros(*maps.shape[:-2], *grid)  # (B, ..., h, w) of the image
            total[..., rows, columns] += maps
            count[..., rows, columns] += 1
        return total / count

    def _report_window_sizes(self) -> None:
        """Warn about window sizes that are not multiples of the backbone's stride."""
        for name in ('crop_size', 'stride') if self.test_cfg.mode == 'slide' and not self._in_pixels else ():
            asked = tuple(self.test_cfg[name])
            taken = tuple(self._in_features(side) * self.backbone.stride for side in asked)
            if taken != asked:
                print_log(f'test_cfg.{name} is {asked}, but windows start and end at multiples of the backbone\'s '
                          f'stride of {self.backbone.stride} pixels: {taken} is used.', 'current', logging.WARNING)

    def _in_features(self, pixels: int) -> int:
        """Convert a window size or step from pixels to features, at least 1."""
        return max(pixels // self.backbone.stride, 1)

    def _windows(self, grid: list[int]) -> Iterator[tuple[slice, slice]]:
        """Generate windows in features that cover every position. The last ones end at the border."""
        spans = []
        for cells, crop, step in zip(grid, self.test_cfg['crop_size'], self.test_cfg['stride']):
            crop, step = min(self._in_features(crop), cells), self._in_features(step)
            starts = [*range(0, cells - crop, step), cells - crop]
            spans.append([slice(start, start + crop) for start in starts])
        return ((rows, columns) for rows in spans[0] for columns in spans[1])

    def _covered(self, maps: Tensor, inputs: Tensor) -> tuple[int, int]:
        """Return the height and width in pixels of maps (..., h, w) of images, with the backbone's padding."""
        if self._in_pixels:
            return tuple(inputs.shape[2:])
        height, width = (cells * self.backbone.stride for cells in maps.shape[-2:])
        return height, width
