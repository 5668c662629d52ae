"""CLIP's text tower as a function of context vectors and class tokens.

open_clip's ``encode_text`` takes token ids only, and mmseg's CLIPTextEncoder runs without gradients. Neither can learn
prompts. This tower accepts context vectors. :mod:`mmseg_mvp.clip.shared_prefix` evaluates causal towers; other towers
use open_clip's forward pass, with context vectors in place of word vectors.
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
from .frozen import Frozen, unwrap
from .loading import LoadedCLIP
from .toys import is_toy, toy_words

# Sentences per forward pass of open_clip without gradients.
CHUNK = 64
# Tolerance of the comparison with open_clip: above float32 rounding, below the effect of other pooling.
TOLERANCE = 1e-3


class LongName(UserError):
    """Error for a class name or sentence with more tokens than the context of a CLIP."""


class TextTower(nn.Module):
    """Text tower of a CLIP: tokens to word vectors, word vectors to sentence embeddings.

    Args:
        clip (LoadedCLIP): CLIP that provides the tower.

    Attributes:
        width (int): Size of a word vector.
        embed_dim (int): Size D of the joint embedding.
        context_length (int): Largest number of tokens in a sentence, with start and end token.
        shared (bool): True if sentences share the evaluation of their prefix. False uses open_clip's forward pass, for
            towers that are not causal, do not pool at the end token, or have other blocks.

    Raises:
        UserError: If the tower has no token embedding, such as Hugging Face text models, or its output is not finite.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        super().__init__()
        self.model = _without_image(clip.model)
        text = getattr(clip.model, 'text', clip.model)
        if not hasattr(text, 'token_embedding'):
            raise UserError(f"The text tower of CLIP '{clip.name}' has no table of word vectors, which prompts need: "
                            f'expected a text tower of open_clip; choose a CLIP without a Hugging Face text model.')
        self.name, self._toy_words = clip.name, toy_words() if is_toy(clip) else ()
        self.tokenizer = clip.tokenizer
        self.context_length = clip.tokenizer.context_length
        self.token_embedding = text.token_embedding
        self.width = self.token_embedding.embedding_dim
        self._special = frozenset(self.tokenizer.all_special_ids)
        self._without_vector = frozenset((~self.word_vectors.any(dim=1)).nonzero().flatten().tolist())
        reason = self._share(text)
        self.shared = reason is None
        if reason:
            print_log(f"The text tower of CLIP '{clip.name}' {reason}, so each sentence is encoded in full. The "
                      f'result is exact, but takes many times longer than with a shared prefix.', 'current', level=30)

    @torch.no_grad()
    def _share(self, text: nn.Module) -> str | None:
        """Set up shared prefixes, or return the reason for the use of open_clip's forward pass.

        Raises:
            UserError: If the tower can't encode a sentence, or its output is not finite.
        """
        sentence = [self.tokenizer.encode('a photo of a cat.')]
        contexts = self.word_vectors.new_zeros(1, 0, self.width)
        length = len(sentence[0]) + self._framing
        try:
            theirs = encode_in_full(self, contexts, sentence)
        except (RuntimeError, IndexError) as error:
            raise UserError(f"The text tower of CLIP '{self.name}' can't encode a sentence ({error}): expected "
                            f'embeddings of {self.tokenizer.vocab_size} tokens and a context of at least {length}; '
                            f'choose another CLIP, or correct its text_cfg.') from error
        if not torch.isfinite(theirs).all():
            raise UserError(f"The text tower of CLIP '{self.name}' gives values that are not finite, so its weights "
                            f'are damaged: set model.clip.weights to an intact file.')
        self.embed_dim = theirs.shape[-1]
        blocks = getattr(getattr(text, 'transformer', None), 'resblocks', [None])
        if any(type(block) is not ResidualAttentionBlock for block in blocks):
            return f'has blocks of type {type(blocks[0]).__name__}'
        if getattr(text, 'attn_mask', None) is None or getattr(text, 'cls_emb', None) is not None:
            return 'is not causal'
        if len(self.tokenizer.end) != 1:
            return 'has no single end token'
        self.blocks, self.ln_final, self.text_projection = blocks, text.ln_final, text.text_projection
        self.positional_embedding = text.positional_embedding
        ours = shared_prefix.encode(self, contexts, sentence)
        if not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * float(theirs.abs().max())):
            return 'does not pool at the end token'
        return None

    @property
    def _framing(self) -> int:
        """Number of start and end tokens."""
        return len(self.tokenizer.start) + len(self.tokenizer.end)

    def tokenize(self, sentence: str, taken: int = 0) -> list[int]:
        """Encode a sentence as token ids, without start and end token.

        Args:
            sentence (str): Any text.
            taken (int): Number of learned context vectors before it.

        Raises:
            UserError: If the sentence is empty, exceeds the context, or has a token without word vector.
        """
        ids = self.tokenizer.encode(sentence, inside=taken > 0)
        room = max(self.context_length - self._framing - taken, 0)
        if not ids:
            raise UserError(f"The class name or sentence '{sentence}' is empty: give it at least one word.")
        if len(ids) > room:
            shown = sentence if len(sentence) < 60 else f'{sentence[:60]}...'
            raise LongName(f"The class name or sentence '{shown}' has {len(ids)} tokens, but the context of CLIP "
                           f"'{self.name}' has room for {room} ({self.context_length} minus start, end and {taken} "
                           f'learned context vectors): use a shorter name or fewer context vectors.')
        self._check_known(sentence, ids)
        return ids

    def _check_known(self, sentence: str, ids: list[int]) -> None:
        """Raise UserError for a token without word vector; the toy CLIPs have zero rows for unknown words."""
        if special := self._special.intersection(ids):
            read = self.tokenizer.decode(sorted(special)).strip()
            raise UserError(f"CLIP '{self.name}' reads a part of the class name or sentence '{sentence}' as its "
                            f"special token '{read}': expected characters of its vocabulary; use other words or "
                            f'another CLIP.')
        unknown = [token for token in ids if token in self._without_vector or token >= len(self.word_vectors)]
        if unknown:
            known = (f'the {len(self._toy_words)} words of the captions that it was trained on ('
                     f'{", ".join(self._toy_words)})' if self._toy_words else 'the words that it was trained on')
            raise UserError(f"CLIP '{self.name}' has no vector for '{self.tokenizer.decode(unknown).strip()}': it "
                            f'knows {known}; use such words or another CLIP.')

    def words(self) -> dict[int, str]:
        """Map each regular token with a word vector to its spelling; a ``-`` marks the missing part of a word."""
        left_out = self._special | self._without_vector
        count = min(len(self.word_vectors), self.tokenizer.vocab_size)
        tokens = [token for token in range(count) if token not in left_out]
        return dict(zip(tokens, self.tokenizer.spell(tokens)))

    @property
    def word_vectors(self) -> Tensor:
        """Table of word vectors, (tokens in the vocabulary, width)."""
        return self.token_embedding.weight

    def embed(self, ids: Tensor) -> Tensor:
        """Look up word vectors (..., width) of token ids (...)."""
        return self.token_embedding(ids)

    def project(self, x: Tensor) -> Tensor:
        """Project token states (N, width) to the joint embedding (N, D)."""
        projection = self.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def encode_with(self, context: Tensor, ids: Tensor) -> Tensor:
        """Embed ids (N, context_length) by open_clip's forward pass: (N, D), normalised only if the model does it.

        Context vectors (M, width) replace the word vectors of the M positions after the start tokens.
        """
        first = len(self.tokenizer.start)

        def put(module: nn.Module, args: tuple, words: Tensor) -> Tensor:
            given = context.to(words.dtype).expand(len(words), -1, -1)
            return torch.cat([words[:, :first], given, words[:, first + len(context):]], dim=1)  # (N, L, width)

        hook = self.token_embedding.register_forward_hook(put)
        try:
            return self.model.encode_text(ids)
        finally:
            hook.remove()


def encode_prompts(tower: TextTower | Frozen, contexts: Tensor, tokens: Sequence[Sequence[int]],
                   progress: Callable[[int], None] | None = None) -> Tensor:
    """Embed every name under every prompt: ``[start, v_1 .. v_M, name tokens, end]`` (MVP-SEG, ``t_i^c``).

    Args:
        tower (TextTower | Frozen): Text tower, possibly frozen.
        contexts (Tensor): Context vectors of P prompts, (P, M, width); M may be 0.
        tokens (Sequence[Sequence[int]]): Token ids of S names, without start and end token.
        progress (Callable[[int], None], optional): Callback, called with the number of sentences of each chunk.

    Returns:
        Tensor: Embeddings, not normalised, (P, S, D), differentiable with respect to the contexts.
    """
    text = unwrap(tower)
    encode = shared_prefix.encode if text.shared else encode_in_full
    return encode(text, contexts, tokens, progress)


def encode_sentences(tower: TextTower | Frozen, tokens: Sequence[Sequence[int]],
                     progress: Callable[[int], None] | None = None) -> Tensor:
    """Embed S sentences: (S, D), not normalised. Their common prefix is evaluated once."""
    text = unwrap(tower)
    shared = os.path.commonprefix([list(ids) for ids in tokens])
    # (1, M, width)
    contexts = text.embed(torch.tensor([shared], dtype=torch.long, device=text.word_vectors.device))
    return encode_prompts(tower, contexts, [ids[len(shared):] for ids in tokens], progress)[0]


def encode_in_full(text: TextTower, contexts: Tensor, tokens: Sequence[Sequence[int]],
                   progress: Callable[[int], None] | None = None) -> Tensor:
    """Embed like :func:`encode_prompts`, contexts (P, M, width) to (P, S, D), by open_clip's forward pass."""
    before = [text.tokenizer.filler] * contexts.shape[1]
    ids = torch.tensor([text.tokenizer.frame([*before, *ids]) for ids in tokens], device=contexts.device)  # (S, L)
    step = len(ids) if torch.is_grad_enabled() else CHUNK
    embeddings = []
    for context in contexts:
        for part in ids.split(step):
            embeddings.append(text.encode_with(context, part))
            if progress:
                progress(len(part))
    return torch.cat(embeddings).unflatten(0, (len(contexts), len(ids)))  # (P * S, D) -> (P, S, D)


def _without_image(clip: nn.Module) -> nn.Module:
    """Return a shallow copy without the image tower, so that ``to`` moves the text tower only."""
    text = copy.copy(clip)
    text._modules = {name: module for name, module in clip._modules.items() if name != 'visual'}
    return text
