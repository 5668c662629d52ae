"""Tokens and images in the form in which the tiny CLIPs of the toy world are trained."""
import numpy as np
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, SimpleTokenizer
from torch import Tensor

from mmseg_mvp.clip.templates import resolve_templates
from mmseg_mvp.datasets.toy.captions import grammar_words

TEMPLATES = resolve_templates('maskclip')


class TokenTable:
    """Tokens of the caption grammar, renumbered. An embedding of CLIP's full vocabulary would only slow training.

    Args:
        context_length (int): Tokens per sentence.
    """

    def __init__(self, context_length: int) -> None:
        self.tokenizer = SimpleTokenizer(context_length=context_length)
        self.ids = self.tokenizer(grammar_words(TEMPLATES)).unique()

    def __call__(self, texts: list[str]) -> Tensor:
        """Tokenize texts to int64 (N, longest). The order of ids is kept, so the end token stays the largest."""
        tokens = self.tokenizer(texts)
        tokens = tokens[:, :int((tokens != 0).sum(1).max())].contiguous()
        return torch.searchsorted(self.ids, tokens)


def normalise(images: np.ndarray) -> Tensor:
    """Convert RGB uint8 (B, H, W, 3) to CLIP's float input (B, 3, H, W)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
