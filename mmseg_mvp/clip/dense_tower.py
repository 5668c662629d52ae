"""Choice of the dense tower for an image tower of open_clip."""
from collections.abc import Mapping, Sequence

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import nn

from mmseg_mvp.errors import UserError

from .dense_variants import CLASS_TOKEN, RESNET_POOL, DenseVariant, Kind, find_variant
from .image_tower import ResNetTower, ViTTower
from .proxy import ProxyVariant, load_proxy
from .proxy_tower import ProxyTower
from .timm_towers import TimmCellTower, TimmViTTower, timm_tower

DenseTower = ResNetTower | ViTTower | TimmViTTower | TimmCellTower | ProxyTower


def dense_tower(visual: nn.Module, variant: str | Mapping = 'maskclip', name: str = 'this CLIP',
                normalisation: Sequence = (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)) -> DenseTower:
    """Wrap ``model.visual`` of open_clip for dense features.

    Args:
        visual (nn.Module): Image tower of open_clip.
        variant (str | Mapping): Name of a dense variant or a dict, see :func:`find_variant`.
        name (str): Name of the CLIP, for messages.
        normalisation (Sequence): Mean and standard deviation of the channels of its images, RGB, 0 to 1.

    Raises:
        UserError: If the variant is unknown or does not fit the tower, its proxy can't be loaded, or the architecture
            is not supported.
    """
    found = _find(visual)
    if found is None:
        inner = getattr(visual, 'trunk', visual)
        raise UserError(f"The image tower of CLIP '{name}' is a {type(inner).__name__}, which can't give dense "
                        f'features: expected a tower that pools by attention (RN50, ViT-B-16-SigLIP, PE-Core-B-16), by '
                        f'a class token (ViT-B-32, ViT-B-16, ViT-L-14, ViT-H-14, EVA02-B-16, MobileCLIP-B), or by the '
                        f'average of a convolutional map (convnext_base); choose one of these models.')
    tower, kind = found
    row = find_variant(variant, kind, name)
    if isinstance(row, ProxyVariant):
        return ProxyTower(dense_tower(visual, 'value', name), load_proxy(row, *normalisation), row)
    _check_middle(row, visual, name)
    return tower(visual, row)


def variant_name(visual: nn.Module, variant: str | Mapping) -> str:
    """Return the name of the row of a dense variant, as :func:`dense_tower` takes it; ``'auto'`` is resolved."""
    if not isinstance(variant, str):
        return variant.get('type', 'value')
    return _find(visual)[1].best if variant == 'auto' else variant


def _find(visual: nn.Module) -> tuple[type[nn.Module], Kind] | None:
    """Return the class of the dense tower and the kind of an image tower, or None."""
    if isinstance(visual, ModifiedResNet):
        return ResNetTower, RESNET_POOL
    if isinstance(visual, TimmModel):
        return timm_tower(visual)
    if (isinstance(visual, VisionTransformer) and visual.attn_pool is None and visual.pool_type == 'tok'
            and isinstance(visual.transformer.resblocks[-1], ResidualAttentionBlock)):
        return ViTTower, CLASS_TOKEN
    return None


def _check_middle(variant: DenseVariant, visual: nn.Module, name: str) -> None:
    """Raise UserError if a variant reads the attention of blocks that do not precede the last one."""
    if not variant.middle:
        return
    blocks = len(visual.trunk.blocks if isinstance(visual, TimmModel) else visual.transformer.resblocks)
    if any(index >= blocks - 1 for index in variant.middle):
        raise UserError(f"The dense variant reads the attention of the blocks {list(variant.middle)}, but CLIP "
                        f"'{name}' has only the blocks 0 to {blocks - 2} before its last one: set dense.middle to some "
                        f'of them.')
