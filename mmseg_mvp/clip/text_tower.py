"""CLIP's text tower as a function of prompts: contexts and class tokens in, embeddings out.

open_clip's ``encode_text`` takes token ids of full length only, and mmseg's CLIPTextEncoder runs without gradients, so
prompts can't be learned through either. Here the same weights are called with embeddings: by
:mod:`mmseg_mvp.clip.shared_prefix` where the tower's causality allows it, else by open_clip's own forward pass, with
the contexts put in place of word vectors.
"""
import copy
import os
from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from . import shared_prefix
from .frozen import Frozen
from .loading import LoadedCLIP

# Sentences that the plain path encodes at once when no gradient is wanted.
CHUNK = 64
# Agreement with open_clip's own tower that float32 rounding can't break and a non-causal mask always does.
TOLERANCE = 1e-3


class TextTower(nn.Module):
    """The text half of a CLIP: tokens to word vectors, word vectors to sentence embeddings.

    Args:
        clip (LoadedCLIP): The CLIP whose tower this is.

    Attributes:
        width (int): Size of a word vector.
        embed_dim (int): Size D of the joint embedding.
        context_length (int): Tokens that a sentence may have, with its start and end token.
        shared (bool): Whether sentences share the work on their prefix. False for towers that are not causal, don't
            pool at the end token, or have blocks of another kind: those take open_clip's forward pass.

    Raises:
        UserError: If the tower has no table of word vectors, as Hugging Face's text models, or damaged weights.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        super().__init__()
        self.model = _without_image(clip.model)
        text = getattr(clip.model, 'text', clip.model)
        if not hasattr(text, 'token_embedding'):
            raise UserError(f"The text tower of CLIP '{clip.name}' has no table of word vectors that prompts could "
                            f'stand beside: expected one of open_clip\'s own, not a Hugging Face text model.')
        self.name = clip.name
        self.tokenizer = clip.tokenizer
        self.context_length = clip.tokenizer.context_length
        self.token_embedding = text.token_embedding
        self.width = self.token_embedding.embedding_dim
        self._without_vector = frozenset((~self.token_embedding.weight.any(dim=1)).nonzero().flatten().tolist())
        reason = self._share(text)
        self.shared = reason is None
        if reason:
            print_log(f"The text tower of CLIP '{clip.name}' {reason}: every sentence is encoded in full, which is "
                      f'exact and many times slower than sharing the prefix.', 'current', level=30)

    @torch.no_grad()
    def _share(self, text: nn.Module) -> str | None:
        """Take the tower apart for the shared prefix, or tell what stands against it."""
        sentence = [self.tokenizer.encode('a photo of a cat.')]
        contexts = self.token_embedding.weight.new_zeros(1, 0, self.width)
        theirs = encode_in_full(self, contexts, sentence)
        if not torch.isfinite(theirs).all():
            raise UserError(f"The text tower of CLIP '{self.name}' gives no finite numbers, so its weights are "
                            f'damaged: take an intact file (model.clip.weights).')
        self.embed_dim = theirs.shape[-1]
        blocks = getattr(getattr(text, 'transformer', None), 'resblocks', [None])
        if any(type(block) is not ResidualAttentionBlock for block in blocks):
            return f'has blocks of type {type(blocks[0]).__name__}'
        if getattr(text, 'attn_mask', None) is None or getattr(text, 'cls_emb', None) is not None:
            return 'is not causal'
        self.blocks, self.ln_final, self.text_projection = blocks, text.ln_final, text.text_projection
        self.positional_embedding = text.positional_embedding
        ours = shared_prefix.encode(self, contexts, sentence)
        if not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * float(theirs.abs().max())):
            return 'does not pool at the end token'
        return None

    def tokenize(self, sentence: str, taken: int = 0) -> list[int]:
        """Token ids of a sentence, without start and end token.

        Args:
            sentence (str): Any text.
            taken (int): Tokens that learned context vectors take of the context.

        Raises:
            UserError: If the sentence does not fit the context, has no token at all, or has words without a vector.
        """
        ids = self.tokenizer.encode(sentence)
        room = self.context_length - 2 - taken
        if not ids:
            raise UserError(f"The class name or sentence '{sentence}' is empty: give it at least one word.")
        if len(ids) > room:
            shown = sentence if len(sentence) < 60 else f'{sentence[:60]}...'
            raise UserError(f"The class name or sentence '{shown}' has {len(ids)} tokens, but the context of CLIP "
                            f"'{self.name}' has room for {room} ({self.context_length} less start, end and {taken} "
                            f'learned context vectors): use a shorter name or fewer context vectors.')
        self._check_known(ids)
        return ids

    def _check_known(self, ids: list[int]) -> None:
        """Refuse words that the toy CLIP never read: their rows of the token table are zero."""
        unknown = [token for token in ids if token in self._without_vector]
        if unknown:
            raise UserError(f"CLIP '{self.name}' has no vector for '{self.tokenizer.decode(unknown).strip()}': it "
                            f'knows the words of the captions that it was trained on; use those, or another CLIP.')

    def words(self) -> dict[int, str]:
        """Tokens that have a vector, but no special ones, and what they spell; ``-`` says that a word goes on."""
        special = {*self.tokenizer.all_special_ids, *self._without_vector}
        spelled = ((token, self.tokenizer.decode([token])) for token in range(len(self.token_embedding.weight))
                   if token not in special)
        return {token: word.strip() if word.endswith(' ') else f'{word}-' for token, word in spelled}

    def embed(self, ids: Tensor) -> Tensor:
        """Word vectors (..., width) of token ids (...)."""
        return self.token_embedding(ids)

    def project(self, x: Tensor) -> Tensor:
        """Final projection of token states (N, width) to the joint embedding (N, D)."""
        projection = self.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def encode_with(self, context: Tensor, ids: Tensor) -> Tensor:
        """Embed full sentences by open_clip's forward pass, with given vectors after the start token.

        Args:
            context (Tensor): Context vectors, (M, width).
            ids (Tensor): Token ids from the start token on, padded, (N, context_length); those in the context's place
                count for nothing.

        Returns:
            Tensor: Sentence embeddings, not normalised unless the model does it, (N, D).
        """

        def put(module: nn.Module, args: tuple, words: Tensor) -> Tensor:
            given = context.to(words.dtype).expand(len(words), -1, -1)
            return torch.cat([words[:, :1], given, words[:, 1 + len(context):]], dim=1)

        hook = self.token_embedding.register_forward_hook(put)
        try:
            return self.model.encode_text(ids)
        finally:
            hook.remove()


def encode_prompts(tower: TextTower | Frozen, contexts: Tensor, tokens: Sequence[Sequence[int]],
                   progress: Callable[[int], None] | None = None) -> Tensor:
    """Embed every name under every prompt: ``[start, v_1 .. v_M, name tokens, end]`` (MVP-SEG, ``t_i^c``).

    Args:
        tower (TextTower | Frozen): The text tower, or a frozen one.
        contexts (Tensor): Context vectors of P prompts, (P, M, width); M may be 0.
        tokens (Sequence[Sequence[int]]): Token ids of S names, without start and end token.
        progress (Callable, optional): Told the number of sentences encoded, as they are.

    Returns:
        Tensor: Embeddings, not normalised, (P, S, D); differentiable in the contexts.
    """
    text = tower.module if isinstance(tower, Frozen) else tower
    encode = shared_prefix.encode if text.shared else encode_in_full
    return encode(text, contexts, tokens, progress)


def encode_sentences(tower: TextTower | Frozen, tokens: Sequence[Sequence[int]],
                     progress: Callable[[int], None] | None = None) -> Tensor:
    """Embed sentences; what all of them begin with is evaluated once.

    Args:
        tower (TextTower | Frozen): The text tower, or a frozen one.
        tokens (Sequence[Sequence[int]]): Token ids of S sentences, without start and end token.
        progress (Callable, optional): Told the number of sentences encoded, as they are.

    Returns:
        Tensor: Embeddings, not normalised, (S, D).
    """
    text = tower.module if isinstance(tower, Frozen) else tower
    shared = os.path.commonprefix([list(ids) for ids in tokens])
    contexts = text.embed(torch.tensor([shared], dtype=torch.long, device=text.token_embedding.weight.device))
    return encode_prompts(tower, contexts, [ids[len(shared):] for ids in tokens], progress)[0]


def encode_in_full(text: TextTower, contexts: Tensor, tokens: Sequence[Sequence[int]],
                   progress: Callable[[int], None] | None = None) -> Tensor:
    """The same as :func:`encode_prompts` by open_clip's forward pass on sentences of full length: for any tower.

    Args:
        text (TextTower): The text tower.
        contexts (Tensor): Context vectors of P prompts, (P, M, width).
        tokens (Sequence[Sequence[int]]): Token ids of S names, without start and end token.
        progress (Callable, optional): Told the number of sentences encoded, as they are.

    Returns:
        Tensor: Embeddings, not normalised, (P, S, D).
    """
    start, end = text.tokenizer.sot_token_id, text.tokenizer.eot_token_id
    length = contexts.shape[1]
    sentences = [[start, *[ids[0] if ids else start] * length, *ids, end] for ids in tokens]
    ids = torch.tensor([one + [0] * (text.context_length - len(one)) for one in sentences], device=contexts.device)
    step = len(ids) if torch.is_grad_enabled() else CHUNK
    embeddings = []
    for context in contexts:
        for part in ids.split(step):
            embeddings.append(text.encode_with(context, part))
            if progress:
                progress(len(part))
    return torch.cat(embeddings).unflatten(0, (len(contexts), len(ids)))


def _without_image(clip: nn.Module) -> nn.Module:
    """The same model less its image half, so that moving the text tower to another device moves no more than that."""
    text = copy.copy(clip)
    text._modules = {name: module for name, module in clip._modules.items() if name != 'visual'}
    return text
