"""Context of class names: learned context vectors or sentence templates."""
from collections.abc import Callable, Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.clip import Frozen, encode_prompts, encode_sentences, resolve_templates
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.progress import progress_of

# Encoding of more sentences shows a progress bar in the terminal.
MANY_SENTENCES = 2000


@MODELS.register_module()
class LearnedPrompts(nn.Module):
    """k segmentation prompts and an optional global prompt, each with M learned context vectors.

    ``s_i^c = CONCAT(p_i, W(cls_c))`` (MVP-SEG, arXiv 2304.06957), in the form of CoOp:
    ``[start][v_1] .. [v_M][name][.][end]``. All classes share the context.

    Args:
        tower (Frozen): Frozen text tower, set by the classifier.
        num_prompts (int): Number k of segmentation prompts, at least 1.
        context_length (int): Number M of context vectors per prompt. Not given in the paper; 16 as in CoOp.
        global_prompt (bool): If True, add a global prompt ``p_0`` for GPR.
        init (str | Sequence[str], optional): None draws all vectors from N(0, std). A phrase (``'a photo of a'``) sets
            the last vectors of each prompt to its word vectors plus noise from N(0, std/10), so that the prompts
            differ. A sequence gives one phrase per prompt, first the global prompt.
        std (float): Standard deviation of the initial values.
        frozen (bool): If True, the prompts are not trained.

    Raises:
        UserError: If a setting has a wrong type or is out of range, or the phrases differ from the prompts in number or
            exceed the context length.
    """

    def __init__(self, tower: Frozen, num_prompts: int = 3, context_length: int = 16, global_prompt: bool = True,
                 init: str | Sequence[str] | None = None, std: float = 0.02, frozen: bool = False) -> None:
        super().__init__()
        check_number('LearnedPrompts.num_prompts', num_prompts, least=1, whole=True)
        check_number('LearnedPrompts.context_length', context_length, least=1, whole=True)
        check_number('LearnedPrompts.std', std, least=0)
        if not isinstance(global_prompt, bool):
            raise UserError(f'LearnedPrompts.global_prompt is {global_prompt!r}: expected True or False.')
        self.tower = tower
        self.learnable = not frozen
        self.has_global = global_prompt
        self.num_views = num_prompts
        self.context_length = context_length
        self.contexts = nn.Parameter(std * torch.randn(num_prompts + global_prompt, context_length, tower.module.width))
        if init is not None:
            self._start_from(init)
        self.requires_grad_(self.learnable)

    @torch.no_grad()
    def _start_from(self, init: str | Sequence[str]) -> None:
        count = len(self.contexts)
        phrases = [init] * count if isinstance(init, str) else list(init) if isinstance(init, Sequence) else [init]
        if not all(isinstance(phrase, str) for phrase in phrases):
            raise UserError(f'LearnedPrompts.init is {init!r}: expected a phrase, a list of phrases, or None.')
        if len(phrases) != count:
            raise UserError(f'LearnedPrompts.init has {len(phrases)} phrases for {count} prompts (the global one '
                            f'included): give one phrase for all, or one for each.')
        for context, phrase in zip(self.contexts, phrases):
            ids = self.tower.module.tokenize(phrase)
            if len(ids) > len(context):
                raise UserError(f"The phrase '{phrase}' has {len(ids)} tokens, but a prompt has {len(context)} context "
                                f'vectors: shorten it, or raise context_length.')
            context[-len(ids):].mul_(0.1).add_(self.tower.module.embed(torch.tensor(ids)))

    @property
    def seg_contexts(self) -> Tensor:
        """Context vectors of the k segmentation prompts, (k, M, width), input of OCLoss."""
        return self.contexts[self.has_global:]

    def state(self) -> Tensor:
        """Return the context vectors of all prompts, (P, M, width), as the key of cached embeddings."""
        return self.contexts.detach()

    def describe(self) -> dict:
        """Return the settings that a checkpoint must match."""
        return dict(num_prompts=self.num_views, context_length=self.context_length, global_prompt=self.has_global)

    def tokenize(self, wordings: Sequence[str]) -> list[list[int]]:
        """Encode names with a full stop as token ids. Raise UserError if a name does not fit beside the context."""
        return [self.tower.module.tokenize(f'{wording}.', taken=self.context_length) for wording in wordings]

    def forward(self, wordings: Sequence[str]) -> Tensor:
        """Embed S names under every prompt: normalised, (P, S, D), first the global prompt if present."""
        tokens = self.tokenize(wordings)
        progress = _progress(len(self.contexts) * len(tokens))
        return F.normalize(encode_prompts(self.tower, self.contexts, tokens, progress), dim=-1)


@MODELS.register_module()
class TemplatePrompts(nn.Module):
    """Fixed sentence templates for class names, without learned values (MaskCLIP, CLIP's zero-shot classifier).

    They form one view. The embedding of each sentence is normalised; so is the mean over all templates.

    Args:
        tower (Frozen): Frozen text tower, set by the classifier.
        templates (str | Sequence[str]): Name of a set or custom sentences, see
            :func:`mmseg_mvp.clip.templates.resolve_templates`.

    Attributes:
        longest (str): Template with the most tokens.
    """
    learnable = False
    has_global = False
    num_views = 1
    context_length = 0

    def __init__(self, tower: Frozen, templates: str | Sequence[str] = 'maskclip') -> None:
        super().__init__()
        self.tower = tower
        self.templates = resolve_templates(templates)
        self.longest = max(self.templates, key=lambda template: len(tower.module.tokenizer.encode(template.format(''))))

    def state(self) -> Tensor:
        """Return an empty tensor (0,), since templates never change."""
        return torch.empty(0)

    def describe(self) -> dict:
        """Return the settings that a checkpoint must match."""
        return dict(num_templates=len(self.templates))

    def tokenize(self, wordings: Sequence[str], template: str | None = None) -> list[list[int]]:
        """Encode names in a template, by default the longest, as token ids. Raise UserError if one is too long."""
        return [self.tower.module.tokenize((template or self.longest).format(wording)) for wording in wordings]

    def forward(self, wordings: Sequence[str]) -> Tensor:
        """Embed S names under all templates: normalised mean embeddings, (1, S, D)."""
        progress = _progress(len(self.templates) * len(wordings))
        total = 0
        for template in self.templates:
            tokens = self.tokenize(wordings, template)
            total = total + F.normalize(encode_sentences(self.tower, tokens, progress), dim=-1)
        return F.normalize(total, dim=-1).unsqueeze(0)


def _progress(sentences: int) -> Callable[[int], None] | None:
    """Return the callback of the progress of long inference, or None."""
    return None if torch.is_grad_enabled() else progress_of(sentences, MANY_SENTENCES)
