"""Proxy: a self-supervised ViT of timm (DINO, DINOv2, ...) that tells which patches of an image belong together."""
import dataclasses
import difflib
import os
import sys
from collections.abc import Sequence

import timm
import torch
from mmengine.logging import print_log
from timm.layers import PatchEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.reach import unreachable_hub

from .at_hand import timm_addresses, timm_at_hand
from .misfit import check_values
from .weights_file import WeightsFile, read_weights

_STEM = 'patch_embed.proj.weight'


@dataclasses.dataclass(frozen=True)
class ProxyVariant:
    """Settings of the dense variant ``'proxy'``.

    Attributes:
        model (str): Name of a ViT in timm, with the tag of its weights.
        pretrained (bool): True loads timm's weights of this tag. False without ``weights`` takes random ones and logs
            a warning.
        weights (str, optional): Weights file in place of timm's, in the names of timm, DINO or DINOv2.
        threshold (float): Similarities below this multiple of their mean are omitted.
        sharpness (float): Factor of the similarities in the softmax.
    """
    model: str = 'vit_base_patch8_224.dino'
    pretrained: bool = True
    weights: str | None = None
    threshold: float = 1.2
    sharpness: float = 3.


def check_proxy(variant: ProxyVariant) -> ProxyVariant:
    """Return a variant with valid settings.

    Raises:
        UserError: If a setting has the wrong type or range.
    """
    for key in ('model', 'weights'):
        value = getattr(variant, key)
        if not isinstance(value, str) and (key, value) != ('weights', None):
            raise UserError(f'dense.{key} is {value!r}, a {type(value).__name__}: expected text; give '
                            f'{"the name of a ViT in timm" if key == "model" else "the path of a file, or omit it"}.')
    if not isinstance(variant.pretrained, bool):
        raise UserError(f'dense.pretrained is {variant.pretrained!r}: expected True or False; set dense.weights to the '
                        f'path of a file.')
    check_number('dense.threshold', variant.threshold, least=0)
    check_number('dense.sharpness', variant.sharpness, above=0)
    return variant


class Proxy(nn.Module):
    """Unit features of the patches of a timm ViT, without gradients.

    Args:
        model (nn.Module): ViT of timm with positions of any size.
        mean (Sequence[float]): Mean of each channel of the given images, RGB, 0 to 1.
        std (Sequence[float]): Standard deviation of each channel.

    Attributes:
        patch (int): Side of a patch in pixels.
    """

    def __init__(self, model: VisionTransformer | Eva, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.patch = model.patch_embed.patch_size[0]
        given, own = ([torch.tensor(values)[:, None, None] for values in pair] for pair in
                      ((mean, std), (model.pretrained_cfg['mean'], model.pretrained_cfg['std'])))  # (3, 1, 1) each
        self.register_buffer('factor', given[1] / own[1])
        self.register_buffer('offset', (given[0] - own[0]) / own[1])

    @torch.no_grad()
    def forward(self, images: Tensor, grid: Sequence[int]) -> Tensor:
        """Compute features (B, h*w, C) of unit norm, row by row, of normalised images (B, 3, H, W).

        The images are resized to one patch of the proxy for each position of the grid (h, w).
        """
        images = images * self.factor + self.offset
        size = tuple(side * self.patch for side in grid)
        if size != tuple(images.shape[2:]):
            images = F.interpolate(images, size=size, mode='bicubic', align_corners=False, antialias=True)
        tokens = self.model.forward_features(images)[:, self.model.num_prefix_tokens:]  # without class and registers
        return F.normalize(tokens, dim=-1)


def load_proxy(variant: ProxyVariant, mean: Sequence[float], std: Sequence[float]) -> Proxy:
    """Load a proxy for images that are normalised by mean and std, see :class:`Proxy`.

    Raises:
        UserError: If the model is unknown or no ViT, or its weights are missing, unreadable or do not fit.
    """
    file = None if variant.weights is None else _read(variant)
    model = _create(variant).eval()
    if file is not None:
        _fill(model, variant.model, file)
    elif not variant.pretrained:
        print_log(f"The proxy '{variant.model}' has random weights, so its predictions are meaningless: set "
                  f'dense.pretrained=True, or dense.weights to a file.', 'current', level=30)
    source = variant.weights or ('those of timm' if variant.pretrained else 'random')
    print_log(f"Proxy '{variant.model}': images of mean {tuple(model.pretrained_cfg['mean'])} and std "
              f"{tuple(model.pretrained_cfg['std'])}; weights: {source}", 'current')
    return Proxy(model, mean, std)


def _read(variant: ProxyVariant) -> WeightsFile:
    path = os.path.expanduser(variant.weights)
    if not os.path.isfile(path):
        raise UserError(f"The weights '{variant.weights}' of the proxy '{variant.model}' do not exist: put "
                        f'the file there, or set dense.weights to its path; without it, timm downloads the weights.')
    return read_weights(path)


def _create(variant: ProxyVariant) -> VisionTransformer | Eva:
    """Build the model of timm, with its pretrained weights if the variant takes them."""
    name, download = variant.model, variant.pretrained and variant.weights is None
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=3, cutoff=0.4)
        raise UserError(f"There is no timm model '{name}' for dense.model: expected a ViT of timm, such as "
                        f"vit_base_patch8_224.dino{' (similar: ' + ', '.join(near) + ')' if near else ''}.")
    if download and not timm_at_hand(name) and (reason := unreachable_hub(timm.get_pretrained_cfg(name).hf_hub_id)):
        raise _not_downloaded(name, reason)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same random weights in every process
            model = timm.create_model(name, pretrained=download, num_classes=0, dynamic_img_size=True)
    except TypeError as error:  # other architectures have no dynamic_img_size
        raise _not_flat(name) from error
    except Exception as error:  # timm and the hub client raise various exceptions
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise _not_downloaded(name, reason) from error
    if not isinstance(model, (VisionTransformer, Eva)) or not isinstance(model.patch_embed, PatchEmbed):
        raise _not_flat(name)
    return model


def _not_downloaded(name: str, reason: str) -> UserError:
    addresses = ' or '.join(timm_addresses(name)) or 'its weights'
    return UserError(f"The proxy '{name}' can't be loaded from timm ({reason}): check the name and the network, or get "
                     f'{addresses} on another machine and set dense.weights to the file; '
                     f'docs/weights.md lists all addresses.')


def _not_flat(name: str) -> UserError:
    return UserError(f"The timm model '{name}' gives no patch tokens at images of any size: expected a plain ViT, such "
                     f'as vit_base_patch8_224.dino or vit_base_patch14_dinov2.lvd142m.')


def _fill(model: VisionTransformer | Eva, name: str, file: WeightsFile) -> None:
    """Load the weights of a file, in the names of timm or in those that timm's own filter converts."""
    tensors = _without_prefix(name, file)
    wanted, stem = model.state_dict(), tensors[_STEM]
    if stem.dim() == 4 and stem.shape != wanted[_STEM].shape:  # timm's filter would resize the patches
        raise _misfit(name, file.path, f'{_STEM} with shape {tuple(stem.shape)} instead of '
                                       f'{tuple(wanted[_STEM].shape)}')
    try:
        state = sys.modules[type(model).__module__].checkpoint_filter_fn(tensors, model)
    except Exception as error:  # the filter indexes and reshapes without checks
        raise _misfit(name, file.path, ' '.join(str(error).split())[:200]) from error
    if faults := _faults(wanted, state):
        raise _misfit(name, file.path, f'{faults[0]}{f" and {len(faults) - 1} more" if len(faults) > 1 else ""}')
    state = {key: state[key] for key in wanted}
    check_values(wanted, file.path, state)
    model.load_state_dict(state)


def _faults(wanted: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Return the differences of weights from a state dict. A classifier or decoder beside the ViT is none."""
    parts = {key.split('.')[0] for key in wanted}
    faults = [f'{key} is missing' for key in wanted if key not in state]
    faults += [f'{key} is extra' for key in state if key not in wanted and key.split('.')[0] in parts]
    return faults + [f'{key} has shape {tuple(state[key].shape)} instead of {tuple(value.shape)}'
                     for key, value in wanted.items() if key in state and state[key].shape != value.shape]


def _without_prefix(name: str, file: WeightsFile) -> dict[str, Tensor]:
    """Return the tensors of the ViT in a file. Of DINO's two networks, the teacher is taken, as in its evaluation."""
    prefixes = [key.removesuffix(_STEM) for key in file.tensors if key.endswith(_STEM)]
    teachers = [prefix for prefix in prefixes if 'teacher' in prefix.split('.')]
    prefixes = teachers if len(prefixes) > 1 and teachers else prefixes
    if len(prefixes) != 1:
        found = f'{len(prefixes)} such tensors' if prefixes else 'none'
        raise _misfit(name, file.path, f'expected one {_STEM}, found {found}')
    return {key.removeprefix(prefixes[0]): value for key, value in file.tensors.items() if key.startswith(prefixes[0])}


def _misfit(name: str, path: str, fault: str) -> UserError:
    return UserError(f"The weights file '{path}' does not fit the proxy '{name}' ({fault}): set dense.model to the "
                     f'timm model of these weights, or save the state_dict() of its ViT alone.')
