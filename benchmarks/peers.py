"""Peers of the benchmarks: implementations of others, and the paper's equations as written."""
from collections.abc import Sequence

import torch
from mmseg.models.text_encoder import CLIPTextEncoder
from mmseg.models.utils import resize
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.clip import LoadedCLIP, TextTower


def encode_truncated(text: TextTower, contexts: Tensor, tokens: list[list[int]]) -> Tensor:
    """Encode all sentences, padded to the longest instead of 77 tokens: (P, S, D)."""
    first, end = text.embed(torch.tensor([text.tokenizer.sot_token_id, text.tokenizer.eot_token_id],
                                         device=contexts.device))
    longest = max(map(len, tokens)) + 1
    names = torch.stack([torch.cat([text.embed(torch.tensor(ids, device=contexts.device)),
                                    end.expand(longest - len(ids), -1)]) for ids in tokens])
    words = torch.cat([first.expand(len(contexts), len(tokens), 1, -1),
                       contexts[:, None].expand(-1, len(tokens), -1, -1),
                       names.expand(len(contexts), -1, -1, -1)], dim=2).flatten(0, 1)
    length = words.shape[1]
    x = words + text.positional_embedding[:length]
    mask = torch.full((length, length), float('-inf'), device=x.device).triu(1)
    for block in text.blocks:
        x = block(x, attn_mask=mask)
    ends = torch.tensor([contexts.shape[1] + 1 + len(ids) for ids in tokens], device=x.device).repeat(len(contexts))
    return text.project(text.ln_final(x[torch.arange(len(x)), ends])).unflatten(0, (len(contexts), len(tokens)))


def mmseg_text_encoder(clip: LoadedCLIP, names: list[str], template: str) -> CLIPTextEncoder:
    """Build mmseg's text encoder with the weights of a CLIP whose text tower has the sizes of ViT-B/16's.

    Raises:
        RuntimeError: If a weight is missing.
    """
    encoder = CLIPTextEncoder(vocabulary=names, templates=[template], cache_feature=False, cat_bg=False)
    parts = {'ln_1.': 'norms.0.', 'ln_2.': 'norms.1.', 'attn.': 'attentions.0.attn.', 'mlp.c_fc.': 'ffns.0.layers.0.0.',
             'mlp.c_proj.': 'ffns.0.layers.1.'}
    own = encoder.state_dict()
    state = {}
    for key, value in clip.model.state_dict().items():
        if key.startswith('transformer.resblocks.'):
            key = key.replace('resblocks.', '')
            for theirs, ours in parts.items():
                key = key.replace(theirs, ours)
        if key in own:
            state[key] = value
    encoder.load_state_dict(state, strict=False)
    missing = own.keys() - state.keys()
    if missing:
        raise RuntimeError(f'not filled: {sorted(missing)[:3]}')
    return encoder.eval()


def loss_as_written(logits: Tensor, label: Tensor, log_presence: Tensor) -> Tensor:
    """Compute ``- mean log(softmax(resize(S)) * g)`` at the labels (MVP-SEG), 255 ignored: a scalar ()."""
    maps = resize(logits, size=label.shape[1:], mode='bilinear', align_corners=False)
    refined = maps.softmax(dim=1) * log_presence.exp()[:, :, None, None]
    chosen = refined.clamp(min=1e-30).log().gather(1, label.where(label != 255, 0)[:, None])[:, 0]
    return -chosen[label != 255].mean()


def label_map_as_written(logits: Tensor, presence: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute ``argmax softmax(resize(S)) * g`` (MVP-SEG) of one image's logits (C, h, w): (H, W)."""
    maps = resize(logits[None], size=size, mode='bilinear', align_corners=False)[0]
    return (maps.softmax(dim=0) * presence[:, None, None]).argmax(dim=0)


def pamr_as_written(maps: Tensor, image: Tensor, iterations: int, dilations: Sequence[int]) -> Tensor:
    """Refine class maps (C, H, W) by an image (3, H, W) by PAMR, with all neighbours of all classes at once."""
    around, own = _unfolded(image, dilations), image[:, None]  # (3, P, H, W)
    deviation = torch.cat([around, *[own] * len(dilations)], dim=1).std(dim=1, keepdim=True)
    weights = (-((around - own).abs() / (0.1 * deviation + 1e-8)).mean(dim=0)).softmax(dim=0)
    for _ in range(iterations):
        maps = (_unfolded(maps, dilations) * weights).sum(dim=1)
    return maps


def _unfolded(maps: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the neighbours (C, P, H, W) of each position of maps (C, H, W)."""
    parts = []
    for dilation in dilations:
        padded = F.pad(maps[:, None], (dilation, ) * 4, mode='replicate')
        near = F.unfold(padded, 3, dilation).unflatten(2, maps.shape[1:])  # (C, 9, H, W)
        parts += [near[:, :4], near[:, 5:]]
    return torch.cat(parts, dim=1)
