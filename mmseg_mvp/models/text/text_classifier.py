"""Class names to embeddings to scores: the one classifier that all heads share."""
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.clip import Frozen, TextTower, check_clip, load_clip
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import short
from mmseg_mvp.vocabularies import load_vocabulary

from .step_embeddings import StepEmbeddings

SYNONYMS = ('max', 'mean')
# Entries of the JSON that a checkpoint holds, besides those of the prompts.
_STATE = dict(clip=str, weights=str, fingerprint=str, train_classes=list)
# Values of embeddings that are kept for label lists met before: 64 MiB in float32.
MAX_CACHED = 2**24


class TextClassifier(nn.Module):
    """Scores features against the names of a vocabulary, under one or several prompts.

    Training and testing may have vocabularies of their own: ``train()`` and ``eval()`` switch between them. Without
    gradients, names are encoded once per list and state of the prompts. A checkpoint names the CLIP and the classes
    that the prompts were learned with.

    Args:
        clip (dict): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`.
        prompts (dict): Config of ``LearnedPrompts`` or ``TemplatePrompts``.
        train_classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        test_classes (str | list, optional): The same for testing; None takes ``train_classes``.
        synonyms (str): What joins the wordings of a class: ``'max'`` of their scores, or ``'mean'`` of their
            embeddings.

    Attributes:
        vocabularies (dict[bool, dict]): Names and their wordings, for training (True) and for testing (False).
        label_lists (list[dict], optional): A vocabulary for each sample of a batch, within :meth:`using`.
        step (StepEmbeddings): Shares the embeddings among the micro-batches of an optimizer step.
        learned_on (list[str]): Names that the prompts were trained on: those of the checkpoint, once one is loaded.
            Prompts that learn on are saved with these and the training names.

    Raises:
        UserError: If the CLIP, the prompts or a vocabulary can't be used.
    """

    def __init__(self, clip: dict, prompts: dict, train_classes: str | list, test_classes: str | list | None = None,
                 synonyms: str = 'max') -> None:
        super().__init__()
        if synonyms not in SYNONYMS:
            raise UserError(f"There is no way '{synonyms}' to join synonyms: expected one of {', '.join(SYNONYMS)}.")
        if not isinstance(prompts, dict) or 'type' not in prompts:
            raise UserError(f"The prompts of the config are {prompts!r}: expected a dict with a type, LearnedPrompts "
                            f'or TemplatePrompts.')
        self.clip = load_clip(**check_clip(clip))
        self.synonyms = synonyms
        self.tower = Frozen(TextTower(self.clip))
        self.prompts = MODELS.build(dict(prompts, tower=self.tower))
        self.embed_dim = self.tower.module.embed_dim
        self.vocabularies = {}
        self.label_lists = None
        self.step = StepEmbeddings()
        self._cache = {}
        self.set_classes(train_classes, training=True)
        self.set_classes(train_classes if test_classes is None else test_classes)
        self.learned_on = list(self.vocabularies[True])

    def set_classes(self, classes: str | list, training: bool = False) -> None:
        """Take another vocabulary.

        Args:
            classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
            training (bool): Whether it is for training or for testing.

        Raises:
            UserError: If there are fewer than two classes, or a name does not fit CLIP's context.
        """
        vocabulary = load_vocabulary(classes)
        if len(vocabulary) < 2:
            raise UserError(f"A single class, {list(vocabulary)}, wins at every pixel: name at least one more, such as "
                            f"'other' or what else is in the picture.")
        for wording in _wordings(vocabulary):  # what does not fit is told now, not at the first image
            self.tower.module.tokenize(f'{wording}.', taken=self.prompts.context_length)
        if shared := shared_wordings(vocabulary):
            print_log(f'Classes share wordings, so only one of them can win: {shared}; word them differently.',
                      'current', logging.WARNING)
        self.vocabularies[training] = vocabulary

    @contextmanager
    def using(self, label_lists: Sequence[dict[str, tuple[str, ...]]]) -> Iterator[None]:
        """Score against other vocabularies for a while, in training and in testing alike.

        Args:
            label_lists (Sequence[dict]): A vocabulary for each sample of a batch, names and their wordings.
        """
        before, self.label_lists = self.label_lists, list(label_lists)
        try:
            yield
        finally:
            self.label_lists = before

    @property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """Names and wordings in use: the training ones under ``train()``, else the test ones; the batch's own first.

        Raises:
            UserError: If the samples of a batch have different ones, which only a ``TextLayer`` keeps apart.
        """
        if self.label_lists is None:
            return self.vocabularies[self.training]
        if any(one != self.label_lists[0] for one in self.label_lists):
            raise UserError('The samples of a batch have different label lists, which this head can\'t keep apart: use '
                            'a head with a text layer, such as LSegHead or TextFCNHead, or batches of one list.')
        return self.label_lists[0]

    def embeddings(self) -> Tensor:
        """Normalised text embeddings of the vocabulary in use.

        Returns:
            Tensor: (P, S, D) for P prompts (the global one first) and S wordings; with mean synonyms S is the number of
            classes.
        """
        wordings = _wordings(self.vocabulary)
        if torch.is_grad_enabled() and self.prompts.learnable:
            return self._join_means(self.step(self.prompts, tuple(wordings), lambda: self.prompts(wordings)))
        probe = self.tower.module.token_embedding.weight
        key = (tuple(self.vocabulary.items()), probe.device, probe.dtype)
        state = self.prompts.state()
        # The prompts' values are compared, since an optimizer or an EMA may change them without a trace.
        if key not in self._cache or not torch.equal(self._cache[key][0], state):
            # Whoever is first, the values serve all: training after inference mode, float32 after autocast.
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(probe.device.type, enabled=False):
                self._keep(key, state.clone(), self._join_means(self.prompts(wordings)))
        return self._cache[key][1]

    def _keep(self, key: tuple, state: Tensor, value: Tensor) -> None:
        """Remember the embeddings of a list, and forget the oldest ones if they are too many."""
        self._cache.pop(key, None)
        self._cache[key] = (state, value)
        while len(self._cache) > 1 and sum(kept.numel() for _, kept in self._cache.values()) > MAX_CACHED:
            del self._cache[next(iter(self._cache))]

    def _join_means(self, embeddings: Tensor) -> Tensor:
        if self.synonyms == 'max':
            return embeddings
        groups = embeddings.split([len(group) for group in self.vocabulary.values()], dim=1)
        return F.normalize(torch.stack([group.mean(dim=1) for group in groups], dim=1), dim=-1)

    @property
    def row_names(self) -> list[str]:
        """Class of each row S of the embeddings: a row for each wording, or with mean synonyms for each class."""
        repeats = (1 if self.synonyms == 'mean' else len(group) for group in self.vocabulary.values())
        return [name for name, count in zip(self.vocabulary, repeats) for _ in range(count)]

    def fused_weights(self) -> Tensor:
        """Classifier weights with the k segmentation views collapsed into one.

        ``sum_i cos(F, t_i) = F/|F| . sum_i t_i/|t_i|``, so k views cost one.

        Returns:
            Tensor: ``[sum_i t_i]``, or ``[sum_i t_i, t_0]`` if there is a global prompt, (1 or 2, S, D).
        """
        embeddings = self.embeddings()
        has_global = self.prompts.has_global
        fused = embeddings[has_global:].sum(dim=0, keepdim=True)
        return torch.cat([fused, embeddings[:1]]) if has_global else fused

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Score features by their products with text embeddings: cosines, if the features are normalised.

        Args:
            features (Tensor): Dense features, (B, D, h, w).
            weights (Tensor): ``fused_weights()``, or ``embeddings()`` for one map per prompt, (V, S, D).

        Returns:
            Tensor: Class maps, (B, V, C, h, w).
        """
        maps = torch.einsum('bdhw,vsd->bvshw', features, weights)
        sizes = [len(group) for group in self.vocabulary.values()]
        if maps.shape[2] == len(sizes):
            return maps
        return torch.stack([group.amax(dim=2) for group in maps.split(sizes, dim=2)], dim=2)

    def get_extra_state(self) -> Tensor:
        """What the learned values belong to, as JSON in a byte tensor (N,): plain data, safe to load."""
        names = dict.fromkeys([*self.learned_on, *(self.vocabularies[True] if self.prompts.learnable else ())])
        state = dict(clip=self.clip.name, weights=self.clip.weights, fingerprint=self.clip.fingerprint,
                     train_classes=list(names), **self.prompts.describe())
        return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse what was learned for another CLIP or with other prompts.

        Args:
            state (Tensor): The byte tensor of ``get_extra_state``, (N,).

        Raises:
            UserError: Naming both sides; or the state is damaged.
        """
        saved = _read_state(state)
        if saved['fingerprint'] != self.clip.fingerprint:
            clip, weights, fingerprint = (short(saved[key]) for key in ('clip', 'weights', 'fingerprint'))
            raise UserError(f"The checkpoint was learned on CLIP '{clip}' with weights '{weights}' "
                            f"(fingerprint {fingerprint}), but the config builds {self.clip.describe()}: set "
                            f'clip to the one that the checkpoint names.')
        prompts = self.prompts.describe()
        found = {key: saved.get(key) for key in prompts}
        if found != prompts:
            raise UserError(f'The checkpoint holds the prompts {short(str(found))}, but the config builds {prompts}: '
                            f'set decode_head.prompts to what the checkpoint was learned with.')
        self.learned_on = saved['train_classes']


def _read_state(state: Tensor) -> dict:
    """The dict in a byte tensor (N,)."""
    try:
        saved = json.loads(bytes(state.tolist()))
        if isinstance(saved, dict) and all(isinstance(saved[key], kind) for key, kind in _STATE.items()):
            return saved
        raise ValueError(f'not a dict of {", ".join(_STATE)}')
    except Exception as error:  # text of a stranger can be wrong in many ways
        raise UserError(f'The checkpoint does not say what its text was learned on ({type(error).__name__}: '
                        f'{short(str(error))}): its _extra_state is damaged; copy or train it again.') from error


def _wordings(vocabulary: dict[str, tuple[str, ...]]) -> list[str]:
    """All wordings of all classes, in order."""
    return [wording for group in vocabulary.values() for wording in group]


def shared_wordings(vocabulary: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Wordings that several classes have, as CLIP's tokenizer sees them, and those classes."""
    users = {}
    for name, wordings in vocabulary.items():
        for wording in {wording.lower() for wording in wordings}:
            users.setdefault(wording, []).append(name)
    return {wording: names for wording, names in users.items() if len(names) > 1}
