"""One pass through the text tower for all micro-batches of an optimizer step."""
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class StepEmbeddings:
    """Text embeddings that the micro-batches of gradient accumulation share.

    The prompts don't change before the optimizer steps, so their embeddings are the same for all micro-batches, and the
    gradient is linear: each micro-batch adds ``d loss / d embeddings``, and the last one sends the sum through the
    tower, exactly once. The gradient reaches the prompts in the last backward pass, where DDP expects it.

    Attributes:
        ends (bool): Whether the optimizer steps after this micro-batch. True unless a
            :class:`mmseg_mvp.engine.TextOncePerStepHook` says otherwise, which makes every batch a step of its own.
    """

    def __init__(self) -> None:
        self.ends = True
        self._key = self._state = self._shared = None

    def __call__(self, prompts: nn.Module, key: Hashable, encode: Callable[[], Tensor]) -> Tensor:
        """Embeddings for this micro-batch.

        Args:
            prompts (nn.Module): What is learned, with a ``state()``.
            key (Hashable): What the embeddings depend on besides that.
            encode (Callable[[], Tensor]): Evaluates them, with their graph.

        Returns:
            Tensor: As ``encode`` gives them.
        """
        if self.ends and self._shared is None:
            return encode()
        state = prompts.state()
        # A change of the prompts within a step, which only loading could make, starts the sum anew.
        if self._shared is None or self._key != key or not torch.equal(self._state, state):
            self._key, self._state, self._shared = key, state.clone(), _Shared(encode(), tuple(prompts.parameters()))
        shared = self._shared
        if self.ends:
            self._shared = None
        return _Share.apply(shared, self.ends, *shared.sources)


class _Shared:
    """Embeddings with their graph, and the gradient that micro-batches have added so far."""

    def __init__(self, embeddings: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.embeddings, self.sources = embeddings, sources
        self.gradient = torch.zeros_like(embeddings)


class _Share(torch.autograd.Function):
    """Hands out shared embeddings, collects their gradient, and passes the sum on if this is the last micro-batch."""

    @staticmethod
    def forward(ctx, shared: _Shared, last: bool, *sources: Tensor) -> Tensor:
        ctx.shared, ctx.last = shared, last
        return shared.embeddings.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple:
        shared = ctx.shared
        shared.gradient += gradient
        if not ctx.last:
            return None, None, *[None] * len(shared.sources)
        return None, None, *torch.autograd.grad(shared.embeddings, shared.sources, shared.gradient)
