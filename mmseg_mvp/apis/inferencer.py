"""Inferencer that segments images by any class names."""
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby, islice
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image
from torch.nn import functional as F

from mmseg_mvp.checkpoints import trusted_checkpoints
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.modules.pamr import build_refinement
from mmseg_mvp.models.segmentors import CLIPEncoderDecoder
from mmseg_mvp.models.text import TextClassifier
from mmseg_mvp.models.text.example_rows import EXAMPLE_WEIGHT, ExampleRows
from mmseg_mvp.models.utils.explanation import Explanation
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.vocabularies import load_vocabulary
from mmseg_mvp.vocabularies.parsing import Source, Vocabulary

from .example_classes import ExampleClasses
from .example_embedding import embed_examples, read_classes
from .images import MAX_PIXELS, ImageSource, UnreadableImage, allow_pixels, is_one_image, iterate_images, read_image
from .method_name import method_name
from .model_config import build_model, find_config, inference_pipeline, usable_device
from .notebook import Segmentations
from .segmentation import Segmentation
from .toy_check import ToyCheck


class OpenVocabInferencer:
    """Open-vocabulary inferencer: each call segments images by its own class names.

    The model comes from a config or a checkpoint. Images pass through the config's test pipeline. The text encoder
    encodes only new classes again::

        seg = OpenVocabInferencer('maskclip/toy_zs')
        out = seg('photo.jpg', classes='red house, tree, boat')
        out.save('photo_seg.png')

    Args:
        model (str | Path | Config | dict, optional): A config, a config file, the short name of a shipped config, or
            a checkpoint of ``tools/train.py``, which contains its config. None without ``weights`` selects a model
            without training and with one sentence per name: NACLIP for a ViT with a class token, MaskCLIP for others.
        weights (str, optional): A checkpoint for the config. Without ``model``, the checkpoint's own config is used.
        device (str, optional): Device such as ``'cpu'`` or ``'cuda:1'``. None selects the best device available.
        clip (dict, optional): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`; they replace those of the
            config. Without a config, the default is OpenAI's ViT-B/16.
        max_pixels (int): Largest number of pixels of an image; larger images are refused to limit memory.
        trust_checkpoint (bool): True reads the checkpoint by mmengine, which may run code from it. False reads it as
            data.
        refine (str | dict, optional): Refinement of the borders, ``'pamr'`` or a dict as in ``test_cfg.refine``, see
            :class:`mmseg_mvp.models.modules.pamr.PAMR`. None takes that of the config.
        example_weight (float): Weight of the examples of classes that have words, too, 0 to 1.

    Attributes:
        model (BaseModel): Segmentor in eval mode.
        cfg (Config): Its config.
        classes (dict, optional): Default vocabulary of calls: the test classes of the config or checkpoint. None if
            neither was given.

    Raises:
        UserError: If a file is missing or does not fit, the model does not classify by text, the device is not
            available, or ``refine`` is not valid.
    """

    def __init__(self, model: str | Path | Config | dict | None = None, weights: str | None = None,
                 device: str | None = None, clip: dict | None = None, max_pixels: int = MAX_PIXELS,
                 trust_checkpoint: bool = False, refine: str | dict | None = None,
                 example_weight: float = EXAMPLE_WEIGHT) -> None:
        init_default_scope('mmseg')
        allow_pixels(max_pixels)
        self.max_pixels, self.example_weight = max_pixels, example_weight
        device = usable_device(device)
        refinement = build_refinement(refine)
        with trusted_checkpoints(trust_checkpoint):
            self.cfg, weights = find_config(model, weights, clip)
            self.model = build_model(self.cfg, weights).to(device).eval()
        if refinement is not None:
            self.model.refinement = refinement
        self.pipeline, self._toy = inference_pipeline(self.cfg), ToyCheck(self._classifier.clip)
        named = model is not None or weights is not None
        self.classes = dict(self._classifier.test_vocabulary) if named else None

    @property
    def method(self) -> str:
        """Name of the method, such as ``'NACLIP with one sentence per name'``, see :func:`method_name`."""
        return method_name(self.model)

    @property
    def _classifier(self) -> TextClassifier:
        return self.model.decode_head.classifier

    def __call__(self, inputs: ImageSource | list[ImageSource], classes: Source | None = None,
                 threshold: float | None = None, batch_size: int = 1) -> Segmentation | list[Segmentation]:
        """Segment one or more images.

        Args:
            inputs (str | Path | np.ndarray | Image.Image | list): An image, a folder of images, or a list of images.
                An image is a file, an array (BGR, as for mmseg's ``inference_model``) or a Pillow image, see
                :func:`mmseg_mvp.apis.images.read_image`.
            classes (str | Path | list | dict, optional): ``'red house, tree, sky'`` (classes separated by commas), a
                list (one class per entry, its synonyms after commas), a file of class names, or the name of a
                label set, see :func:`mmseg_mvp.vocabularies.load_vocabulary`. A dict may give pictures instead of
                words or beside them, see :class:`mmseg_mvp.apis.examples.Example`. None selects ``self.classes``.
            threshold (float, optional): Probability, 0..1. Pixels whose class is less probable become unknown.
                Alternatively, add a class named 'other' for pixels that fit no other class.
            batch_size (int): Largest number of images per forward pass. Only consecutive images of the same size
                share a batch.

        Returns:
            Segmentation | list[Segmentation]: One result per image; a list for a folder or a list. Notebooks show both.

        Raises:
            UnreadableImage: If an image can't be read.
            UserError: If the list is empty, or the classes are missing, fewer than two, or invalid.
        """
        results = Segmentations(self.stream(inputs, classes, threshold, batch_size))
        return results[0] if is_one_image(inputs) else results

    def stream(self, inputs: ImageSource | Iterable[ImageSource], classes: Source | None = None,
               threshold: float | None = None, batch_size: int = 1) -> Iterator[Segmentation]:
        """Segment images one by one; use it if all results together exceed the memory.

        Args:
            inputs (str | Path | np.ndarray | Image.Image | Iterable): As in :meth:`__call__`, or an iterator.
            classes (str | Path | list | dict, optional): As in :meth:`__call__`.
            threshold (float, optional): As in :meth:`__call__`.
            batch_size (int): As in :meth:`__call__`.

        Yields:
            Segmentation: One result per image.

        Raises:
            UserError: As in :meth:`__call__`.
        """
        if threshold is not None:
            check_number('threshold (--threshold), a probability between 0 and 1,', threshold, least=0, most=1)
        check_number('batch_size', batch_size, least=1, whole=True)
        classes = self.classes if classes is None else classes
        if classes is None:
            raise UserError('No classes were given, and a model without a config has no default: give classes, such '
                            'as classes=\'cat, dog, other\'.')
        vocabulary, examples = read_classes(self.model, classes, self.example_weight, self.embed_examples)
        for batch in self._batches(iterate_images(inputs), batch_size):
            self._use(vocabulary, examples)
            with torch.no_grad():
                samples = self.model.test_step(batch)
            for sample in samples:
                explain = partial(self._explain, sample.metainfo['image'], vocabulary, examples)
                yield Segmentation(sample, list(vocabulary), explain, threshold)

    def _use(self, vocabulary: Vocabulary, examples: ExampleRows | None) -> None:
        """Set the classes of the model if they differ; the classifier caches the embeddings of earlier classes."""
        current = self._classifier
        if list(current.test_vocabulary.items()) != list(vocabulary.items()) or current.examples is not examples:
            self.model.set_classes(vocabulary, examples)

    def _batches(self, images: Iterable[ImageSource], batch_size: int) -> Iterator[dict]:
        """Read images and form batches for ``model.test_step`` of consecutive images of the same size."""
        for _, alike in groupby(map(self.pack, images), lambda data: data['inputs'].shape):
            while batch := list(islice(alike, batch_size)):
                yield pseudo_collate(batch)

    def pack(self, source: ImageSource) -> dict:
        """Read an image and apply the pipeline; the data sample also stores the pixels as read (RGB) and the path."""
        image = read_image(source, self.max_pixels)
        height, width = image.shape[:2]
        try:
            data = self.pipeline(dict(img=np.ascontiguousarray(image[..., ::-1])))
        except cv2.error as error:
            raise UnreadableImage(f'An image of {width} x {height} pixels cannot be resized by the config\'s '
                                  f'test_pipeline, because one side would be 0: crop it to a usual shape.') from error
        path = Path(source) if isinstance(source, (str, PathLike)) else None
        data['data_samples'].set_metainfo(dict(image=image, img_path=path, note=self._toy.note(image, path)))
        return data

    @torch.no_grad()
    def features(self, image: ImageSource) -> torch.Tensor:
        """Compute the dense CLIP features of an image, to which the model compares text embeddings.

        The test pipeline resizes the image to (H', W') first. A feature covers ``model.backbone.stride`` pixels of it
        along each side, from the top left corner.

        Args:
            image (str | Path | np.ndarray | Image.Image): One image, as in :meth:`__call__`.

        Returns:
            torch.Tensor: Features of unit norm along D, (D, h, w), on the model's device, with h = ceil(H' / stride)
            and w = ceil(W' / stride).

        Raises:
            UnreadableImage: If the image can't be read.
            UserError: If the model has no features in CLIP's space.
        """
        if not isinstance(self.model, CLIPEncoderDecoder):
            raise UserError(f'{type(self.model).__name__} with {type(self.model.decode_head).__name__} has no features '
                            f"of CLIP's image tower: use MaskCLIP or MVP-SEG, such as configs/maskclip/voc_zs.py.")
        data = self.model.data_preprocessor(pseudo_collate([self.pack(image)]), False)
        return self.model.dense_features(data['inputs'])[0]

    @torch.no_grad()
    def embed(self, names: Source) -> torch.Tensor:
        """Compute the text embeddings of class names under the model's prompts.

        A class with several wordings has the mean of their embeddings, and several segmentation prompts are summed.

        Args:
            names (str | Path | list | dict): N classes, as ``classes`` in :meth:`__call__`; one class as a list.

        Returns:
            torch.Tensor: Embeddings of unit norm, (N, D), on the model's device.

        Raises:
            UserError: If the names are not valid.
        """
        vocabulary, classifier = load_vocabulary(names), self._classifier
        with classifier.using([vocabulary]):
            rows = classifier.embeddings()[classifier.prompts.has_global:].sum(dim=0)  # (P, S, D) -> (S, D)
            groups = rows.split(classifier.row_counts)  # N of (S_c, D)
        return F.normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=1)

    def embed_examples(self, classes: Mapping) -> ExampleClasses:
        """Compute the embeddings of classes with examples once, for several calls or to save them.

        Classes of words alone are omitted. A UserError is raised if an example is not valid, or there are none.
        """
        return embed_examples(self, classes)

    @property
    def can_explain(self) -> bool:
        """True if the model can return one map per prompt."""
        return isinstance(self.model, CLIPEncoderDecoder)

    @torch.no_grad()
    def _explain(self, image: np.ndarray, vocabulary: Vocabulary,
                 examples: ExampleRows | None) -> Explanation | None:
        """Compute the map of each prompt for an RGB image (H, W, 3); None if :attr:`can_explain` is False."""
        if not self.can_explain:
            return None
        self._use(vocabulary, examples)
        data = pseudo_collate([self.pack(Image.fromarray(image))])
        return self.model.explain(**self.model.data_preprocessor(data, False))[0]
