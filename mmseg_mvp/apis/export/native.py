"""Export of a model with fixed classes to mmseg's own components; config and checkpoint do not need mmseg_mvp."""
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_mvp.clip import fill_vit, unwrap, vit_config
from mmseg_mvp.clip.image_tower import ResNetTower, ViTTower
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.decode_heads import MultiPromptTextHead
from mmseg_mvp.models.segmentors.normalisation import with_normalisation
from mmseg_mvp.models.segmentors.settings import KEYS
from mmseg_mvp.utils.files import atomic_write, check_new_file, save_checkpoint
from mmseg_mvp.visualization.palette import distinct_colours

from .common import (
    AGREEMENT,
    check_no_proxy,
    check_one_row_a_class,
    check_unrefined,
    dynamic_shapes,
    label_maps,
    origin,
    predictions,
    random_images,
    text_classifier,
)
from .native_heads import fill_head, head_config, is_exact
from .traceable import pad_multiple


def export_native(cfg: Config, model: BaseModel, path: str | Path) -> float:
    """Write a model in mmseg's components as ``NAME.py`` and ``NAME.pth``; compare both models on random images.

    Args:
        cfg (Config): Config that the model was built from.
        model (BaseModel): Segmentor with a text classifier and the classes to export, in eval mode.
        path (str | Path): New file ``NAME.pth``. The config is written to the same folder.

    Returns:
        float: Share of pixels with equal labels.

    Raises:
        UserError: If mmseg has no equivalent components, a file exists, or too many labels differ.
    """
    check_new_file(path, '.pth')
    path = Path(path)
    check_new_file(path.with_suffix('.py'))
    config, native = to_native(cfg, model)
    same = agreement(model, native)
    if difference(model) is None and same < AGREEMENT:
        raise UserError(f'{100 * (1 - same):.2f} % of the labels differ between {type(model.decode_head).__name__} '
                        f'over {type(model.backbone).__name__} and the mmseg model: export it as ONNX')
    names = list(text_classifier(model).vocabulary)
    palette = [[int(channel) for channel in colour] for colour in distinct_colours(len(names))]
    meta = dict(dataset_meta=dict(classes=names, palette=palette), **origin(text_classifier(model)))
    with atomic_write(path.with_suffix('.py')) as text:
        config.dump(text)
        save_checkpoint(dict(meta=meta, state_dict=native.state_dict()), path)
    return same


def to_native(cfg: Config, model: BaseModel) -> tuple[Config, BaseModel]:
    """Build an equivalent mmseg ``EncoderDecoder``. A convolution with the text embeddings replaces its text tower.

    Args:
        cfg (Config): Config that the model was built from.
        model (BaseModel): Segmentor with a text classifier, in eval mode.

    Returns:
        tuple[Config, BaseModel]: Config of the exported model, and the exported model in eval mode.

    Raises:
        UserError: If mmseg has no equivalent components.
    """
    check_unrefined(model)
    check_no_proxy(model)
    check_one_row_a_class(model, 'a 1x1 convolution')
    if not text_classifier(model).fusion.linear:
        raise UserError("The fusion 'logsumexp' needs the scores of each prompt, but a 1x1 convolution holds one "
                        "embedding per class: export it as ONNX, or learn with decode_head.fusion='sum'")
    if model.decode_head.gpr is not None:
        raise UserError('GPR needs the whole image before it scores a pixel, but no head of mmseg does this: export '
                        'without it (--no-gpr; the label maps are then those of the model without GPR), or as ONNX')
    backbone, fill_backbone, embedding = _backbone(cfg, model)
    config = ConfigDict(type='EncoderDecoder', backbone=backbone, test_cfg=_test_cfg(model),
                        decode_head=head_config(model.decode_head, cfg.model.decode_head, embedding))
    if config.decode_head.type == 'DPTHead':
        config.backbone.output_cls_token = True
    if 'data_preprocessor' in cfg.model:
        config.data_preprocessor = _preprocessor(cfg, model)
    if model.with_neck:
        config.neck = _host_config(cfg.model.neck, model.neck)
    with DefaultScope.overwrite_default_scope('mmseg'):  # as in the exported config; mmcv's layers use it
        native = MODELS.build(config).eval()
    fill_backbone(native.backbone)
    fill_head(native.decode_head, model.decode_head, embedding)
    if model.with_neck:
        native.neck.load_state_dict(model.neck.state_dict())
    return Config(dict(default_scope='mmseg', model=config, test_pipeline=_test_pipeline(cfg), **_imports(cfg))), native


def agreement(model: BaseModel, native: BaseModel) -> float:
    """Compute the share of pixels with equal labels, on random images."""
    same = [label_maps(predictions(model, images)) == label_maps(predictions(native, images))
            for images in (random_images(*shape) for shape in dynamic_shapes(pad_multiple(model)))]
    return torch.cat([one.flatten() for one in same]).float().mean().item()


def difference(model: BaseModel) -> str | None:
    """Explain differences between exported and original label maps; None if they are equal up to rounding."""
    if not is_exact(model.decode_head):
        return ('the head of mmseg has no layer that normalises features, so it resizes scores that are not '
                'normalised')
    if model.test_cfg.mode == 'slide' and pad_multiple(model) > 1:
        return 'mmseg pads and stitches windows at image size, but the model at feature size'
    return None


def _backbone(cfg: Config, model: BaseModel) -> tuple[dict, Callable[[nn.Module], None], Tensor | None]:
    """Return the config of mmseg's backbone, the function that copies its weights, and the embedding of the head.

    The embedding is CLIP's projection (D, width), which the head must apply; None if the features need none.
    """
    backbone = model.backbone
    if not isinstance(backbone, CLIPImageEncoder):
        weights = backbone.state_dict()
        return _host_config(cfg.model.backbone, backbone), lambda native: native.load_state_dict(weights), None
    tower = unwrap(backbone.tower)
    if not isinstance(tower, ViTTower) or not isinstance(model.decode_head, MultiPromptTextHead):
        found = ("ends in CLIP's projection" if isinstance(tower, ViTTower) else "is CLIP's own ResNet"
                 if isinstance(tower, ResNetTower) else 'comes from timm')
        raise UserError(f'The image tower {found}, but mmseg has no such backbone: export it as ONNX (the mmseg format '
                        f'takes CLIP\'s ViTs with MultiPromptTextHead, and backbones of mmseg)')
    return vit_config(tower), lambda native: fill_vit(native, tower), tower.projection.T


def _host_config(own: dict, module: nn.Module) -> dict:
    """Return the config of a host component, without pretrained weights.

    Raises:
        UserError: If the component belongs to mmseg_mvp.
    """
    if type(module).__module__.startswith('mmseg_mvp'):
        raise UserError(f'{type(module).__name__} is not a component of mmseg: export the model as ONNX')
    return {key: value for key, value in own.items() if key not in ('init_cfg', 'pretrained')}


def _test_cfg(model: BaseModel) -> dict:
    own = set(KEYS) - {'mode', 'crop_size', 'stride'}
    return {key: value for key, value in model.test_cfg.items() if key not in own}


def _preprocessor(cfg: Config, model: BaseModel) -> dict:
    """Return the config of the data preprocessor, with the normalisation and padding that our segmentors add."""
    known = model.backbone.normalisation if isinstance(model.backbone, CLIPImageEncoder) else None
    own, multiple = dict(with_normalisation(cfg.model.data_preprocessor, known)), pad_multiple(model)
    pads = multiple > 1 and model.test_cfg.mode == 'whole'
    return dict(own, test_cfg=dict(size_divisor=multiple)) if pads else own


def _test_pipeline(cfg: Config) -> list[dict]:
    """Return a test pipeline of mmseg's own steps, with the ``Resize`` steps of the config."""
    resizes = [step for step in cfg.get('test_pipeline') or [] if step['type'] == 'Resize']
    return [dict(type='LoadImageFromFile'), *resizes, dict(type='PackSegInputs')]


def _imports(cfg: Config) -> dict:
    """Return the config's ``custom_imports`` without mmseg_mvp; the user's own modules remain."""
    own = dict(cfg.get('custom_imports') or {})
    kept = [name for name in own.get('imports', []) if name.split('.')[0] != 'mmseg_mvp']
    return dict(custom_imports=dict(own, imports=kept)) if kept else {}
