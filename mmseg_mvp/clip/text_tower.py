"""CLIP's text tower as a function of prompts: contexts and class tokens in, embeddings out.

open_clip's ``encode_text`` takes token ids of full length only, and mmseg's CLIPTextEncoder runs without gradients, so
prompts can't be learned through either. Here the same weights are called with embeddings, and only as far as the
longest sentence reaches: the tower is causal, so nothing after the end token matters.
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from .frozen import Frozen
from .loading import LoadedCLIP

# Sentences encoded at once when no gradient is wanted: bounds memory for large label lists times 85 templates.
CHUNK = 512
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

    Raises:
        UserError: If the tower is not a causal transformer that pools at the end token.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        super().__init__()
        text = getattr(clip.model, 'text', clip.model)
        missing = [part for part in ('token_embedding', 'positional_embedding', 'transformer', 'ln_final')
                   if not hasattr(text, part)]
        if missing or getattr(text, 'attn_mask', None) is None or getattr(text, 'cls_emb', None) is not None:
            raise UserError(_unusable(clip))
        self.name = clip.name
        self.tokenizer = clip.tokenizer
        self.context_length = text.context_length
        self.token_embedding = text.token_embedding
        self.transformer = text.transformer
        self.ln_final = text.ln_final
        self.text_projection = text.text_projection
        self.positional_embedding = text.positional_embedding
        self.register_buffer('attn_mask', text.attn_mask, persistent=False)
        self._without_vector = frozenset((~text.token_embedding.weight.any(dim=1)).nonzero().flatten().tolist())
        self.width = text.positional_embedding.shape[1]
        self.embed_dim = self.project(text.positional_embedding[:1]).shape[1]
        self._check_causal(clip)

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

    def embed(self, ids: Tensor) -> Tensor:
        """Word vectors (..., width) of token ids (...)."""
        return self.token_embedding(ids)

    def project(self, x: Tensor) -> Tensor:
        """Final projection of token states (N, width) to the joint embedding (N, D)."""
        projection = self.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def forward(self, words: Tensor, ends: Tensor) -> Tensor:
        """Embed sentences given as word vectors.

        Args:
            words (Tensor): Word vectors from the start token on, (N, L, width).
            ends (Tensor): Position of each sentence's end token, (N,).

        Returns:
            Tensor: Sentence embeddings, not normalised, (N, D).
        """
        length = words.shape[1]
        x = words + self.positional_embedding[:length].to(words.dtype)
        x = self.transformer(x, attn_mask=self.attn_mask[:length, :length])
        x = x[torch.arange(len(x), device=x.device), ends]
        return self.project(self.ln_final(x))

    @torch.no_grad()
    def _check_causal(self, clip: LoadedCLIP) -> None:
        """Compare with the tower's own encoding of a padded sentence, which tells causal masks from all others."""
        sentence = 'a photo of a cat.'
        ours = encode_prompts(self, torch.zeros(1, 0, self.width), [self.tokenizer.encode(sentence)])[0]
        theirs = clip.model.encode_text(self.tokenizer([sentence], context_length=self.context_length))
        if not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * float(theirs.abs().max())):
            raise UserError(_unusable(clip))


def encode_prompts(tower: TextTower | Frozen, contexts: Tensor, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Embed every name under every prompt: ``[start, v_1 .. v_M, name tokens, end]`` (MVP-SEG, ``t_i^c``).

    Args:
        tower (TextTower | Frozen): The text tower, or a frozen one.
        contexts (Tensor): Context vectors of P prompts, (P, M, width); M may be 0.
        tokens (Sequence[Sequence[int]]): Token ids of S names, without start and end token.

    Returns:
        Tensor: Embeddings, not normalised, (P, S, D); differentiable in the contexts.
    """
    text = tower.module if isinstance(tower, Frozen) else tower
    prompts, length, _ = contexts.shape
    start, end = text.tokenizer.sot_token_id, text.tokenizer.eot_token_id
    ends = torch.tensor([len(ids) + 1 + length for ids in tokens], device=contexts.device)
    longest = max(len(ids) for ids in tokens) + 1
    ids = torch.tensor([[*ids, end] + [0] * (longest - len(ids) - 1) for ids in tokens], device=contexts.device)
    names = text.embed(ids).to(contexts.dtype)
    first = text.embed(ids.new_tensor([start])).to(contexts.dtype)

    sentences = torch.cat([
        first.expand(prompts, len(ids), 1, -1),
        contexts[:, None].expand(-1, len(ids), -1, -1),
        names.expand(prompts, -1, -1, -1),
    ], dim=2).flatten(0, 1)
    ends = ends.repeat(prompts)
    step = len(sentences) if torch.is_grad_enabled() else CHUNK
    embeddings = [tower(words, last) for words, last in zip(sentences.split(step), ends.split(step))]
    return torch.cat(embeddings).unflatten(0, (prompts, len(ids)))


def _unusable(clip: LoadedCLIP) -> str:
    return (f"The text tower of CLIP '{clip.name}' can't take learned prompts: expected a causal transformer that "
            f'pools at the end token (OpenAI, LAION, DataComp, MetaCLIP and DFN models named RN*, ViT-*, and EVA02, '
            f'PE-Core, MobileCLIP-B), not SigLIP, CLIPA, CoCa or a Hugging Face text model.')
