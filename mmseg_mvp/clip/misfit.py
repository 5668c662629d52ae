"""Check of weights against a model: the first differences, and the models of open_clip that fit."""
import re

import open_clip
import torch
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from .layouts import Arranged, is_weight


def check_fit(clip: nn.Module, model: str, path: str, arranged: Arranged) -> None:
    """Check that the file has all weights of a model, in its shapes, finite, and no other weights of a tower.

    Raises:
        UserError: If it has not, with the first missing, extra and misshapen tensor and the models that fit.
    """
    wanted = clip.state_dict()
    missing = [name for name in wanted if name not in arranged.state and is_weight(name)]
    misshapen = [f'{name} with shape {tuple(value.shape)} instead of {tuple(wanted[name].shape)}'
                 for name, value in arranged.state.items() if value.shape != wanted[name].shape]
    faults = [f'{len(found)} {kind} ({found[0]}{", ..." * (len(found) > 1)})' for kind, found in
              (('missing', missing), ('extra', arranged.extra), ('misshapen', misshapen)) if found]
    if faults:
        fits = fitting_models(arranged.plain)
        if model in fits:
            advice = 'its sizes are those of this model, so save the whole state_dict() or download the file again'
        elif fits:
            advice = f'set clip.model to one that it fits ({", ".join(fits)})'
        else:
            advice = 'no model of open_clip fits; set clip.model to the config of the model that wrote the file'
        raise UserError(f"The weights file '{path}' does not fit CLIP '{model}': {'; '.join(faults)}; {advice}.")
    check_values(wanted, path, arranged.state)


def check_values(wanted: dict[str, Tensor], path: str, state: dict[str, Tensor]) -> None:
    """Refuse tensors without values, integers in place of weights (quantized models), NaN and infinite weights.

    Args:
        wanted (dict[str, Tensor]): State dict of the model.
        path (str): Path of the file, for the message.
        state (dict[str, Tensor]): Weights by the names of the model.

    Raises:
        UserError: If there is such a tensor.
    """
    for name, value in state.items():
        if value.is_meta or value.layout != torch.strided:
            raise UserError(f"The weights file '{path}' holds {name} {'without values' if value.is_meta else 'sparse'}"
                            f': expected dense numbers; save the state_dict() of the complete model.')
        if not wanted[name].is_floating_point():
            continue
        if not value.is_floating_point():
            raise UserError(f"The weights file '{path}' holds {value.dtype} in {name}: expected floating-point "
                            f'numbers; use the weights from before the quantisation.')
        if not value.float().isfinite().all():
            raise UserError(f"The weights file '{path}' holds NaN or infinite numbers in {name}: use an earlier "
                            f'checkpoint, or download the file again.')


def fitting_models(plain: dict[str, Tensor]) -> list[str]:
    """Return the models of open_clip with the layers and widths of plain weights of any shapes (:func:`as_plain`)."""
    found = _sizes_of_weights(plain)
    if found is None:
        return []
    configs = {model: open_clip.get_model_config(model) for model in open_clip.list_models()}
    return [model for model, config in configs.items() if 'timm_model_name' not in config['vision_cfg']
            and 'hf_model_name' not in config['text_cfg'] and 'multimodal_cfg' not in config
            and _sizes_of_config(config) == found]


def _sizes_of_weights(plain: dict[str, Tensor]) -> tuple | None:
    """Return embedding size, vocabulary, widths, layers and positions of both towers; None without the tensors."""
    try:
        first = plain['visual.conv1.weight']  # (width, 3, patch, patch), or (width / 2, 3, 3, 3) in a ResNet
        text = (plain['text_projection'].shape[1], *plain['token_embedding.weight'].shape,
                _count(plain, r'transformer\.resblocks\.(\d+)\.'), len(plain['positional_embedding']))
        if 'visual.class_embedding' in plain:
            return (*text, first.shape[0], _count(plain, r'visual\.transformer\.resblocks\.(\d+)\.'), first.shape[-1],
                    len(plain['visual.positional_embedding']))
        layers = tuple(_count(plain, rf'visual\.layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4))
        return (*text, 2 * first.shape[0], layers, None, len(plain['visual.attnpool.positional_embedding']))
    except (KeyError, IndexError):
        return None


def _count(plain: dict[str, Tensor], pattern: str) -> int:
    return len({found[1] for name in plain if (found := re.match(pattern, name))})


def _sizes_of_config(config: dict) -> tuple:
    """Return the sizes of :func:`_sizes_of_weights` for a model config, with open_clip's defaults."""
    vision, text = open_clip.CLIPVisionCfg(**config['vision_cfg']), open_clip.CLIPTextCfg(**config['text_cfg'])
    layers = tuple(vision.layers) if isinstance(vision.layers, (list, tuple)) else vision.layers
    resnet = isinstance(layers, tuple)
    size = vision.image_size if isinstance(vision.image_size, int) else vision.image_size[0]
    side = size // (32 if resnet else vision.patch_size)
    return (config['embed_dim'], text.vocab_size, text.width, text.layers, text.context_length, vision.width, layers,
            None if resnet else vision.patch_size, side**2 + 1)
