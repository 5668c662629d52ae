"""Reading, as data, of the config that mmengine stores in a checkpoint.

A config is Python code that mmengine runs. It can import any module and build any component. Users who name a config
file trust it, but most users treat a checkpoint as weights only. Therefore only literal values that inference needs are
read from a stored config. Only listed components are built: those of this project, and host components that open no
file.
"""
import ast
import re
from typing import Any

import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmseg_mvp.checkpoints.config_text import assignment
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import short

_HOST_SCOPE = re.compile(r'(mmseg|mmengine|mmcv)\.')
# Model settings that inference does not need. Some name files that mmseg would unpickle.
_TRAINING = re.compile(r'init_cfg|pretrained|train_cfg|auxiliary_head|teacher_checkpoint|loss\w*|sampler')
# Components of mmseg, mmcv and torch that a stored config may build.
_HOST_COMPONENTS = frozenset("""
    EncoderDecoder CascadeEncoderDecoder SegDataPreProcessor
    BEiT BiSeNetV1 BiSeNetV2 CGNet DDRNet ERFNet FastSCNN HRNet MAE MixVisionTransformer MobileNetV2 MobileNetV3 MSCAN
    PCPVT PIDNet ResNeSt ResNeXt ResNet ResNetV1c ResNetV1d STDCNet SVT SwinTransformer UNet VisionTransformer
    Feature2Pyramid FPN JPU MLANeck MultiLevelNeck
    ANNHead APCHead ASPPHead CCHead DAHead DDRHead DMHead DNLHead DPTHead DepthwiseSeparableASPPHead
    DepthwiseSeparableFCNHead EMAHead EncHead FCNHead FPNHead GCHead ISAHead LRASPPHead LightHamHead NLHead OCRHead
    PIDHead PSAHead PSPHead PointHead SETRMLAHead SETRUPHead STDCHead SegformerHead SegmenterMaskTransformerHead
    UPerHead
    BN BN1d BN2d GN IN IN1d IN2d LN SyncBN
    ELU GELU HSigmoid HSwish LeakyReLU PReLU RReLU ReLU ReLU6 Sigmoid SiLU Swish Tanh
    Conv Conv1d Conv2d Conv2dAdaptivePadding ConvAWS ConvModule ConvTranspose2d ConvWS DropPath Dropout
    DeconvModule InterpConv bilinear deconv nearest pixel_shuffle reflect replicate zero
    CenterCrop Normalize PackSegInputs Pad RandomFlip Resize ResizeShortestEdge ResizeToMultiple Rerange CLAHE
    """.split())


def stored_config(text: str, checkpoint: str) -> Config:
    """Read the part of a stored config that inference needs.

    Args:
        text (str): Python source, as written by ``Config.pretty_text``.
        checkpoint (str): Name of the checkpoint, for messages.

    Returns:
        Config: Config with ``model`` and, if stored, ``test_pipeline``. All other settings are omitted.

    Raises:
        UserError: If the text contains more than literal values, has no model, or names a component not on the list.
    """
    try:
        used = _used(dict(map(assignment, ast.parse(text).body)))
        strange = sorted(_components(used) - _allowed())
    except Exception as error:  # an invalid text can raise many types of errors
        raise UserError(f'The config in checkpoint {checkpoint} is not read, because it is not made of plain values '
                        f'({short(str(error))}), and code in it is not run: give the config, too.') from error
    if not isinstance(used['model'], dict):
        raise UserError(f'The config in checkpoint {checkpoint} has no model: give the config, too.')
    if strange:
        raise UserError(f'The config in checkpoint {checkpoint} asks for {short(", ".join(strange))}, but '
                        f'only components of this project and of mmseg that open no file are allowed: give the '
                        f'config, too.')
    return Config(used)


def _used(settings: dict) -> dict:
    """Select the model, without training settings, and the test pipeline, without loading steps."""
    dataset = (settings.get('test_dataloader') or {}).get('dataset') or {}
    steps = settings.get('test_pipeline') or dataset.get('pipeline') or []
    steps = [step for step in steps if not _HOST_SCOPE.sub('', str(step['type']), count=1).startswith('Load')]
    return dict(model=_without_training(settings.get('model')), **(dict(test_pipeline=steps) if steps else {}))


def _without_training(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_training(value) for key, value in part.items() if not _TRAINING.fullmatch(str(key))}
    return [_without_training(child) for child in part] if isinstance(part, list) else part


def _components(part: Any) -> set[str]:
    """Collect all ``type`` and ``_scope_`` names in a part of a config, without host prefixes."""
    children = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ()
    found = set().union(*map(_components, children))
    if isinstance(part, dict):
        names = [(part[key], end) for key, end in (('type', ''), ('_scope_', '.')) if key in part]
        found |= {_HOST_SCOPE.sub('', f'{name}{end}', count=1) if isinstance(name, str) else f'a {type(name).__name__}'
                  for name, end in names} - {''}
    return found


def _allowed() -> set[str]:
    """Return the names of all components that a stored config may build."""
    registries = [value for value in vars(mmseg.registry).values() if isinstance(value, Registry)]
    for registry in registries:
        registry.import_from_location()
    return _HOST_COMPONENTS | {name for registry in registries for name, component in registry.module_dict.items()
                               if component.__module__.startswith('mmseg_mvp.')}
