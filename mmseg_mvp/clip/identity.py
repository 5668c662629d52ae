"""Identity of a CLIP: a hash of all that changes its outputs."""
import hashlib
from collections.abc import Sequence

from torch import nn

# Settings of modules that change the output but not the weights.
_SETTINGS = ('num_heads', 'heads', 'eps', 'stride', 'padding', 'kernel_size', 'dilation', 'groups', 'approximate',
             'pool_type', 'text_pool_type', 'final_ln_after_pool', 'scaled_cosine', 'ceil_mode',
             'negative_slope', 'head_dim')
_WITHOUT_EFFECT = ('Identity', 'Dropout', 'PatchDropout', 'DropPath')


def weights_hash(module: nn.Module) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all names, shapes and values of the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f'{name}{tuple(value.shape)}'.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def fingerprint(module: nn.Module, weights: str, mean: Sequence[float], std: Sequence[float],
                tokenizer: str = '') -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of weights, architecture, normalisation and tokenizer.

    Args:
        module (nn.Module): CLIP model.
        weights (str): Its :func:`weights_hash`.
        mean (Sequence[float]): Mean of each channel, 0 to 1.
        std (Sequence[float]): Standard deviation of each channel, 0 to 1.
        tokenizer (str): Identity of the tokenizer; empty for CLIP's byte pair encoding.
    """
    normalisation = ' '.join(f'{value:.4f}' for value in (*mean, *std))
    lines = [weights, normalisation, *_architecture(module), *([tokenizer] if tokenizer else [])]
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def _architecture(module: nn.Module) -> list[str]:
    """Return a line for each submodule with its settings, and for each one without weights its class."""
    lines = []
    for name, part in module.named_modules():
        own = vars(part)
        settings = [f'{key}={own[key]}' for key in _SETTINGS if isinstance(own.get(key), (int, float, str, tuple))]
        if own['_buffers'].get('attn_mask') is not None:
            settings.append('causal')
        bare = not own['_parameters'] and not own['_buffers'] and not own['_modules']
        if bare and type(part).__name__ not in _WITHOUT_EFFECT:
            settings.append(type(part).__name__)
        lines += [f'{name} {" ".join(settings)}'] if settings else []
    return lines
