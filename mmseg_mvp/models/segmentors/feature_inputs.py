"""Training on stored features of a frozen image tower."""
import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from mmseg_mvp.errors import UserError

from ..backbones import CLIPImageEncoder
from .clip_encoder_decoder import CLIPEncoderDecoder


class FeatureInputs(BaseDataPreprocessor):
    """Data preprocessor of a segmentor that trains on stored features and is tested on images.

    Args:
        images (nn.Module): The segmentor's data preprocessor, for images.
    """

    def __init__(self, images: nn.Module) -> None:
        super().__init__()
        self.images = images

    def forward(self, data: dict, training: bool = False) -> dict:
        """Convert a batch of :class:`mmseg_mvp.datasets.FeatureBankDataset`; images pass the other preprocessor.

        Args:
            data (dict): ``features``, a list of B tensors (D, h, w), and ``data_samples``; or a batch of images.
            training (bool): As in mmseg.

        Returns:
            dict: ``inputs``, a tuple of features (B, D, h, w), float32, and ``data_samples``.
        """
        if 'features' not in data:
            return self.images(data, training)
        data = self.images.cast_data(data)
        return dict(inputs=(torch.stack(list(data['features'])).float(), ), data_samples=data['data_samples'])


def accept_features(model: nn.Module) -> None:
    """Let a segmentor train on the batches of :class:`mmseg_mvp.datasets.FeatureBankDataset`, in place.

    Raises:
        UserError: If stored features cannot replace its images, see :func:`check_frozen_features`.
    """
    check_frozen_features(model)
    if not isinstance(model.data_preprocessor, FeatureInputs):
        model.data_preprocessor = FeatureInputs(model.data_preprocessor)


def check_frozen_features(model: nn.Module) -> None:
    """Check that a segmentor trains on nothing but the dense features of a frozen CLIP.

    Raises:
        UserError: If it does not, with the reason.
    """
    backbone, kind = getattr(model, 'backbone', None), type(model).__name__
    if not isinstance(model, CLIPEncoderDecoder) or not isinstance(backbone, CLIPImageEncoder):
        raise UserError(f'A feature bank needs a CLIPEncoderDecoder with a CLIPImageEncoder, but the model is a {kind} '
                        f'with a {type(backbone).__name__}: train it without --feature-bank (feature_bank).')
    reasons = {
        'model.backbone.frozen is False, so the features change in training': not backbone.frozen,
        'model.backbone.out_indices gives the head more than the dense features': bool(backbone.out_indices),
        'model.neck changes in training': model.with_neck,
        'model.data_preprocessor.batch_augments mixes the images of a batch':
            bool(getattr(model.data_preprocessor, 'batch_augments', None))}
    if found := [reason for reason, applies in reasons.items() if applies]:
        raise UserError(f'A feature bank stores the dense features of a frozen CLIP, but {found[0]}: change this '
                        f'setting, or train without --feature-bank (feature_bank).')
