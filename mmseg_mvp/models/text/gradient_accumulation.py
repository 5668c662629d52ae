"""Text embeddings shared by all micro-batches of an optimizer step."""
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class AccumulatedEmbeddings:
    """Text embeddings shared by the micro-batches of gradient accumulation.

    Prompts are constant between optimizer steps, so all micro-batches use the same embeddings. Each micro-batch adds
    ``d loss / d embeddings``. The last one backpropagates the sum through the text tower, which is exact because
    gradients are linear. The prompts receive their gradient in the last backward pass, as DDP expects.

    Attributes:
        is_last (bool): True if the optimizer steps after this micro-batch. It stays True unless
            :class:`mmseg_mvp.engine.TextOncePerStepHook` changes it.
    """

    def __init__(self) -> None:
        self.is_last = True
        self._key = self._state = self._shared = None

    def __call__(self, prompts: nn.Module, key: Hashable, encode: Callable[[], Tensor]) -> Tensor:
        """Return the embeddings of ``encode()``, (P, S, D), shared within an optimizer step.

        ``key`` has the inputs of ``encode`` in addition to ``prompts.state()``, such as the names.
        """
        if self.is_last and self._shared is None:
            return encode()
        state = prompts.state()
        # Prompts loaded within a step invalidate the accumulated gradient.
        if self._shared is None or self._key != key or not torch.equal(self._state, state):
            self._key, self._state, self._shared = key, state.clone(), _Shared(encode(), tuple(prompts.parameters()))
        shared = self._shared
        if self.is_last:
            self._shared = None
        return _Share.apply(shared, self.is_last, *shared.sources)


class _Shared:
    """Embeddings with their graph, and the gradient accumulated over micro-batches."""

    def __init__(self, embeddings: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.embeddings, self.sources = embeddings, sources
        self.gradient = torch.zeros_like(embeddings)


class _Share(torch.autograd.Function):
    """Identity on shared embeddings that accumulates gradients; the last micro-batch sends the sum to the sources."""

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
