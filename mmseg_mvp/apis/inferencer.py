"""Segments images by any names: the three lines of Python."""
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from PIL import Image
from torch import nn

from mmseg_mvp.checking import check_number
from mmseg_mvp.checkpoints import read_checkpoint, trusted_checkpoints
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.segmentors.explanation import Explanation
from mmseg_mvp.vocabularies import load_vocabulary
from mmseg_mvp.vocabularies.parsing import Source, Vocabulary

from .images import MAX_PIXELS, ImageSource, UnreadableImage, allow_pixels, list_images, read_image
from .model_config import find_config, inference_pipeline, usable_device
from .segmentation import Segmentation


class OpenVocabInferencer(BaseInferencer):
    """Segments images by the names of a call.

    mmengine's ``BaseInferencer`` for models that classify by text: it takes the model from a config or a checkpoint and
    the images through the config's test pipeline. Each call has its classes; only what changes is encoded again::

        seg = OpenVocabInferencer('configs/maskclip/toy_zs.py')
        out = seg('photo.jpg', classes='red house, tree, boat')
        out.save('photo_seg.png')

    Args:
        model (str | Path | Config | dict, optional): A config or its file, or a checkpoint of ``tools/train.py``, which
            holds its config. None: MaskCLIP, which needs no training.
        weights (str, optional): A checkpoint for the config; without ``model``, its own config is taken.
        device (str, optional): Such as ``'cpu'`` or ``'cuda:1'``; None takes the best that there is.
        clip (dict, optional): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`, in the place of the
            config's; for MaskCLIP without a config, ViT-B/16 of OpenAI by default.
        max_pixels (int): Images with more pixels are refused, so that no small file fills the memory.
        trust_checkpoint (bool): Read the checkpoint by mmengine, which may run code from it. False reads it as data.

    Attributes:
        classes (dict, optional): Vocabulary of calls that name none: the test classes of the config or checkpoint; None
            where neither was given.

    Raises:
        UserError: If a file is missing or does not fit, the model does not classify by text, or there is no such
            device.
    """

    def __init__(self, model: str | Path | Config | dict | None = None, weights: str | None = None,
                 device: str | None = None, clip: dict | None = None, max_pixels: int = MAX_PIXELS,
                 trust_checkpoint: bool = False) -> None:
        init_default_scope('mmseg')
        allow_pixels(max_pixels)
        self.max_pixels = max_pixels
        device = usable_device(device)
        with trusted_checkpoints(trust_checkpoint):
            cfg, checkpoint = find_config(model, weights, clip)
            super().__init__(cfg, checkpoint, device, scope='mmseg', show_progress=False)
        if not hasattr(getattr(self.model, 'decode_head', None), 'classifier'):
            raise UserError(f'{type(self.model).__name__} with {cfg.model.get("decode_head", {}).get("type")} does not '
                            f'classify by text, so it takes no names: use a config of this project, or a text head in '
                            f'OpenVocabEncoderDecoder.')
        named = model is not None or weights is not None
        self.classes = dict(self._classifier.vocabularies[False]) if named else None

    @property
    def _classifier(self) -> nn.Module:
        return self.model.decode_head.classifier

    def _init_model(self, cfg: Config, weights: str | None, device: str) -> nn.Module:
        """As mmengine, but with the checkpoint read as data."""
        cfg.model.pop('pretrained', None)
        model = MODELS.build(cfg.model)
        model.cfg = cfg
        self._load_weights_to_model(model, read_checkpoint(weights) if weights else None, cfg)
        return model.to(device).eval()

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None, cfg: Config) -> None:
        """As mmengine, but quiet where nothing was learned that a checkpoint could hold."""
        if checkpoint is not None:
            super()._load_weights_to_model(model, checkpoint, cfg)
        elif learned := [name for name, value in model.named_parameters() if value.requires_grad]:
            print_log(f'No checkpoint was given, so {", ".join(learned[:5])}{", ..." * (len(learned) > 5)} are at '
                      f'their untrained start.', 'current', level=30)

    def _init_pipeline(self, cfg: Config) -> Compose:
        return inference_pipeline(cfg)

    def _init_collate(self, cfg: Config) -> Callable:
        """mmengine's own, which it finds after a warning that there is none of mmseg."""
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        """None: a result draws itself when asked to."""

    def __call__(self, inputs: ImageSource | list[ImageSource], classes: Source | None = None,
                 threshold: float | None = None, batch_size: int = 1) -> Segmentation | list[Segmentation]:
        """Segment an image, or several.

        Args:
            inputs (str | Path | np.ndarray | Image.Image | list): An image, a folder of images, or a list of images: a
                file, an array (BGR, as mmseg's ``inference_model`` takes it) or a Pillow image, see
                :func:`mmseg_mvp.apis.images.read_image`.
            classes (str | Path | list | dict, optional): ``'red house, tree, sky'`` (commas part the classes), a list
                (a class an entry, its synonyms after commas), a ``.txt`` file of such lines, or the name of a label
                set, see :func:`mmseg_mvp.vocabularies.load_vocabulary`. None takes ``self.classes``.
            threshold (float, optional): Pixels whose class has a lower probability than this, 0..1, become unknown. A
                class called 'other' among the names is another way to say what nothing fits.
            batch_size (int): Images that go through the model at once, where neighbours have the same size.

        Returns:
            Segmentation | list[Segmentation]: One for each image; a list for a folder or a list.

        Raises:
            UnreadableImage: If an image can't be read.
            UserError: If there are no classes, only one, or such as can't be used.
        """
        results = list(self.stream(inputs, classes, threshold, batch_size))
        return results[0] if _is_image(inputs) and not _is_folder(inputs) else results

    def stream(self, inputs: ImageSource | Iterable[ImageSource], classes: Source | None = None,
               threshold: float | None = None, batch_size: int = 1) -> Iterator[Segmentation]:
        """Segment images one after the other, for as many as don't fit in memory together.

        Args:
            inputs (str | Path | np.ndarray | Image.Image | Iterable): As in a call; also an iterator.
            classes (str | Path | list | dict, optional): As in a call.
            threshold (float, optional): As in a call.
            batch_size (int): As in a call.

        Yields:
            Segmentation: One for each image.

        Raises:
            UserError: As in a call.
        """
        if threshold is not None:
            check_number('threshold (--threshold), a probability between 0 and 1,', threshold, least=0, most=1)
        check_number('batch_size', batch_size, least=1, whole=True)
        vocabulary = self.classes if classes is None else load_vocabulary(classes)
        if vocabulary is None:
            raise UserError('No classes were given, and there is no config that would name some: classes=\'cat, dog, '
                            'other\'.')
        for batch in self.preprocess(self._inputs_to_list(inputs), batch_size):
            self._use(vocabulary)
            yield from self.postprocess(self.forward(batch), threshold=threshold)

    def _use(self, vocabulary: Vocabulary) -> None:
        """Take other classes, unless they are in use; the classifier keeps the embeddings of those met before."""
        if list(self._classifier.vocabularies[False].items()) != list(vocabulary.items()):
            self.model.set_classes(vocabulary)

    def _inputs_to_list(self, inputs: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
        if _is_folder(inputs):
            return list_images(inputs)
        return [inputs] if _is_image(inputs) else inputs

    def preprocess(self, inputs: Iterable[ImageSource], batch_size: int = 1, **kwargs) -> Iterator[dict]:
        """Read images and take them through the pipeline.

        Args:
            inputs (Iterable): Images.
            batch_size (int): Largest batch; only neighbours of the same size share one.

        Yields:
            dict: A batch for ``model.test_step``.
        """
        for _, alike in groupby(map(self._pack, inputs), lambda data: data['inputs'].shape):
            yield from map(self.collate_fn, self._get_chunk_data(alike, batch_size))

    def _pack(self, source: ImageSource) -> dict:
        """An image as the pipeline packs it; the sample carries the pixels as read, RGB, and the path."""
        image = read_image(source, self.max_pixels)
        height, width = image.shape[:2]
        try:
            data = self.pipeline(dict(img=np.ascontiguousarray(image[..., ::-1])))
        except cv2.error as error:
            raise UnreadableImage(f'An image of {width} x {height} pixels can\'t be resized as the config\'s '
                                  f'test_pipeline says, as one side would vanish: cut it to a usual shape.') from error
        path = Path(source) if isinstance(source, (str, PathLike)) else None
        data['data_samples'].set_metainfo(dict(image=image, img_path=path))
        return data

    def visualize(self, inputs: list, preds: SampleList, **kwargs) -> None:
        """Nothing: pictures are drawn when a result is asked for them."""

    def postprocess(self, preds: SampleList, visualization: None = None, return_datasample: bool = False,
                    threshold: float | None = None) -> list:
        """What a call returns.

        Args:
            preds (list[SegDataSample]): Predictions for the classes in use.
            visualization (None): Not used.
            return_datasample (bool): Whether to return ``preds`` as they are.
            threshold (float, optional): As in a call.

        Returns:
            list[Segmentation] | list[SegDataSample]: One for each prediction.
        """
        if return_datasample:
            return preds
        vocabulary = dict(self._classifier.vocabularies[False])
        return [Segmentation(sample, list(vocabulary), partial(self._explain, sample.metainfo['image'], vocabulary),
                             threshold) for sample in preds]

    @property
    def can_explain(self) -> bool:
        """Whether the model has several prompts, or one, whose maps can be looked at apart."""
        return hasattr(self.model, 'explain')

    @torch.no_grad()
    def _explain(self, image: np.ndarray, vocabulary: Vocabulary) -> Explanation | None:
        """What each prompt sees in an image (H, W, 3), RGB; None where the model can't say."""
        if not self.can_explain:
            return None
        self._use(vocabulary)
        data = self.collate_fn([self._pack(Image.fromarray(image))])
        return self.model.explain(**self.model.data_preprocessor(data, False))[0]


def _is_folder(inputs: object) -> bool:
    return isinstance(inputs, (str, PathLike)) and os.path.isdir(inputs)


def _is_image(inputs: object) -> bool:
    """Whether this is one image, or what a user takes for one, rather than several."""
    return isinstance(inputs, (str, np.ndarray)) or not isinstance(inputs, Iterable)
