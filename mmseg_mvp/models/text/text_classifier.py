"""Text classifier shared by all heads: class names to embeddings, features to scores."""
import logging
from collections.abc import Iterator, Mapping, Sequence
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
from mmseg_mvp.vocabularies.parsing import Source, Vocabulary

from .class_order import ClassOrderCheck
from .example_rows import ExampleRows
from .gradient_accumulation import AccumulatedEmbeddings
from .record import check_same_clip, read_record, warn_of_settings, write_record
from .view_fusion import build_fusion, class_maps
from .wordings import all_wordings, shared_wordings

SYNONYMS = ('max', 'mean')
MAX_CACHED = 2**24  # embedding values over all vocabularies: 64 MiB in float32


class TextClassifier(nn.Module):
    """Scores of features for the names of a vocabulary, under one or several prompts.

    Training and testing have separate vocabularies, selected by ``train()`` and ``eval()``. Without gradients,
    embeddings are cached per vocabulary and state of the prompts. A checkpoint records the CLIP and the training
    classes of the prompts.

    Args:
        clip (dict): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`.
        prompts (dict): Config of ``LearnedPrompts`` or ``TemplatePrompts``.
        train_classes (str | list): Training vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        test_classes (str | list, optional): Test vocabulary; None takes ``train_classes``.
        synonyms (str): Reduction over the wordings of a class: ``'max'`` of their scores or ``'mean'`` of their
            embeddings.
        fusion (str | dict): Fusion of the scores of several prompts, see :func:`build_fusion`.

    Attributes:
        train_vocabulary (dict[str, tuple[str, ...]]): Training names and their wordings.
        test_vocabulary (dict[str, tuple[str, ...]]): Test names and their wordings.
        examples (ExampleRows, optional): Examples of test classes. A class without words has no wordings.
        sample_vocabularies (list[dict], optional): Vocabulary of each sample of a batch, set by :meth:`using`.
        accumulation (AccumulatedEmbeddings): Embeddings shared by the micro-batches of an optimizer step.
        dense (str, optional): Dense variant of the features, set by the segmentor and recorded in checkpoints.
        learned_on (list[str]): Training classes of the prompts, replaced by those in a loaded checkpoint. If the
            prompts are learned, a new checkpoint lists these and the current training classes.

    Raises:
        UserError: If the CLIP, the prompts, a vocabulary or ``synonyms`` is not valid.
    """

    def __init__(self, clip: dict, prompts: dict, train_classes: str | list, test_classes: str | list | None = None,
                 synonyms: str = 'max', fusion: str | dict = 'sum') -> None:
        super().__init__()
        if synonyms not in SYNONYMS:
            raise UserError(f"synonyms is '{synonyms}': expected one of {', '.join(SYNONYMS)}.")
        if not isinstance(prompts, dict) or 'type' not in prompts:
            given = [f', {key}={value!r}' for key, value in prompts.items()] if isinstance(prompts, dict) else ''
            raise UserError(f'The prompts of the config are {prompts!r}: expected a dict with a type, LearnedPrompts '
                            f"or TemplatePrompts; write prompts=dict(type='LearnedPrompts'{''.join(given)}).")
        self.clip = load_clip(**check_clip(clip))
        self.synonyms = synonyms
        self.tower = Frozen(TextTower(self.clip))
        self.prompts = MODELS.build(dict(prompts, tower=self.tower))
        self.fusion = build_fusion(fusion, self.prompts.num_views)
        self.embed_dim = self.tower.module.embed_dim
        self.sample_vocabularies = self.dense = self.examples = None
        self.accumulation = AccumulatedEmbeddings()
        self._cache = {}
        self.train_vocabulary = self.read_vocabulary(train_classes)
        self.test_vocabulary = self.read_vocabulary(train_classes if test_classes is None else test_classes)
        self.learned_on = list(self.train_vocabulary)
        self.check_order = ClassOrderCheck(self.train_vocabulary, self.test_vocabulary)

    def read_vocabulary(self, classes: Source, wordless: Mapping[str, tuple] = {}) -> Vocabulary:
        """Read a vocabulary and check that the prompts can embed it, see :func:`load_vocabulary`.

        Classes of ``wordless`` lose their wordings, because examples define them.

        Raises:
            UserError: If there are fewer than two classes, or a name exceeds CLIP's context.
        """
        vocabulary = {**load_vocabulary(classes), **wordless}
        if len(vocabulary) < 2:
            raise UserError(f"A single class, {list(vocabulary)}, wins at every pixel: name at least one more, such as "
                            f"'other' or what else is in the picture.")
        self.prompts.tokenize(all_wordings(vocabulary))  # report names that are too long before the first image
        if shared := shared_wordings(vocabulary):
            shown = dict(list(shared.items())[:5])
            print_log(f'Several classes share a wording, which cannot tell them apart: {shown}'
                      f'{" and more" * (len(shared) > 5)}; word them differently.', 'current', logging.WARNING)
        return vocabulary

    def set_test_classes(self, classes: Source, examples: ExampleRows | None = None) -> None:
        """Replace the test vocabulary. A class of ``examples`` needs no wordings, ``{'widget': ()}``.

        Raises:
            UserError: As :meth:`read_vocabulary`, or if examples belong to none of the classes or have another size.
        """
        if examples is None:
            self.test_vocabulary = self.read_vocabulary(classes)
        else:
            examples.check(classes, self.embed_dim)
            wordless = {name: () for name, wordings in classes.items() if not wordings and name in examples.directions}
            self.test_vocabulary = self.read_vocabulary(dict(classes, **{name: name for name in wordless}), wordless)
        self.examples = examples

    @contextmanager
    def using(self, vocabularies: Sequence[Vocabulary]) -> Iterator[None]:
        """Score each sample of a batch against its own vocabulary within the context."""
        before, self.sample_vocabularies = self.sample_vocabularies, list(vocabularies)
        try:
            yield
        finally:
            self.sample_vocabularies = before

    @property
    def vocabulary(self) -> Vocabulary:
        """Names and wordings in use: those of the samples, else those of the current mode, ``train()`` or ``eval()``.

        Raises:
            UserError: If samples of a batch have different vocabularies, which require a ``TextLayer``.
        """
        if self.sample_vocabularies is None:
            return self.train_vocabulary if self.training else self.test_vocabulary
        first = self.sample_vocabularies[0]
        if any(one != first for one in self.sample_vocabularies):
            raise UserError('The samples of a batch have different vocabularies, but this head scores a batch with '
                            'one: use a head with a text layer, such as LSegHead or TextFCNHead, or batches of one '
                            'vocabulary.')
        return first

    def embeddings(self) -> Tensor:
        """Return normalised text embeddings of the vocabulary in use, (P, S, D).

        The P prompts begin with the global one, if present. S is the number of wordings, or of classes with
        ``synonyms='mean'``.

        Raises:
            UserError: If a running loop's data set has other classes, or the same in another order.
        """
        self.check_order(self.vocabulary, self.training)
        words = self._words(self.vocabulary)
        if self.examples is None or self.vocabulary is not self.test_vocabulary:
            return words
        with torch.no_grad():
            reference = self._words(self.train_vocabulary)
        return self.examples.mixed(words, self.vocabulary, self._num_rows, reference, self.prompts.has_global)

    def _words(self, vocabulary: Vocabulary) -> Tensor:
        """Return the embeddings of the wordings of a vocabulary, (P, S, D)."""
        wordings = all_wordings(vocabulary)
        probe = self.tower.module.word_vectors
        if not wordings:  # examples define all classes
            return probe.new_empty(self.prompts.num_views + self.prompts.has_global, 0, self.embed_dim)
        if torch.is_grad_enabled() and self.prompts.learnable:
            embed = self.accumulation(self.prompts, tuple(wordings), lambda: self.prompts(wordings))
            return self._join_means(embed, vocabulary)
        key = (tuple(vocabulary.items()), probe.device, probe.dtype)
        state = self.prompts.state()
        # Compare values, because an optimizer or an EMA changes prompts in place.
        if key not in self._cache or not torch.equal(self._cache[key][0], state):
            # Training and inference share the cache, so compute outside inference mode and autocast.
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(probe.device.type, enabled=False):
                self._keep(key, state.clone(), self._join_means(self.prompts(wordings), vocabulary))
        return self._cache[key][1]

    def _keep(self, key: tuple, state: Tensor, value: Tensor) -> None:
        """Cache embeddings and remove the oldest entries beyond ``MAX_CACHED`` values."""
        self._cache.pop(key, None)
        self._cache[key] = (state, value)
        while len(self._cache) > 1 and sum(kept.numel() for _, kept in self._cache.values()) > MAX_CACHED:
            del self._cache[next(iter(self._cache))]

    def _join_means(self, embeddings: Tensor, vocabulary: Vocabulary) -> Tensor:
        """Average the wordings of each class that has some, (P, S, D) to (P, C, D), unless their scores compete."""
        if self.synonyms == 'max':
            return embeddings
        groups = embeddings.split([len(group) for group in vocabulary.values() if group], dim=1)  # C of (P, S_c, D)
        return F.normalize(torch.stack([group.mean(dim=1) for group in groups], dim=1), dim=-1)

    def _num_rows(self, wordings: tuple[str, ...]) -> int:
        """Return the number of rows of the wordings of a class."""
        return min(len(wordings), 1) if self.synonyms == 'mean' else len(wordings)

    @property
    def row_names(self) -> list[str]:
        """Class name of each of the S rows of the embeddings."""
        return [name for name, count in zip(self.vocabulary, self.row_counts) for _ in range(count)]

    @property
    def row_counts(self) -> list[int]:
        """Number of rows of each class; they sum to S. A class of examples alone has one."""
        return [max(self._num_rows(group), 1) for group in self.vocabulary.values()]

    def score_weights(self) -> Tensor:
        """Return the embeddings that score features, (V, S, D): of the segmentation prompts, then ``t_0``, if present.

        Since ``sum_i cos(F, t_i) = F/|F| . sum_i t_i/|t_i|``, the prompts of the fusion ``'sum'`` have one, their sum.
        """
        embeddings = self.embeddings()
        has_global = self.prompts.has_global
        weights = self.fusion.embeddings(embeddings[has_global:])
        return torch.cat([weights, embeddings[:1]]) if has_global else weights

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Score features (B, D, h, w) with ``score_weights()``: fused class maps (B, 1 or 2, C, h, w).

        The second map is that of ``t_0``, if the weights end in it. Products with normalised features are cosines.
        """
        return class_maps(features, weights, self.row_counts, self.fusion)

    def word_maps(self, features: Tensor, weights: Tensor) -> Tensor:
        """Score features (B, D, h, w) as :meth:`forward`, with a map for each of the S rows: (B, 1 or 2, S, h, w)."""
        return class_maps(features, weights, [1] * weights.shape[1], self.fusion)

    def view_maps(self, features: Tensor) -> Tensor:
        """Score features (B, D, h, w) under each of the P prompts: (B, P, C, h, w), first ``t_0``, if present."""
        return class_maps(features, self.embeddings(), self.row_counts)

    def get_extra_state(self) -> Tensor:
        """Return CLIP, training classes and prompt settings as JSON in a byte tensor (N,), which is safe to load."""
        names = dict.fromkeys([*self.learned_on, *(self.train_vocabulary if self.prompts.learnable else ())])
        settings = {} if self.fusion.linear else dict(fusion=self.fusion.kind)
        if self.dense is not None:
            settings['dense'] = self.dense
        return write_record(self.clip, list(names), dict(self.prompts.describe(), **settings))

    def set_extra_state(self, state: Tensor) -> None:
        """Check that a byte tensor (N,) fits the CLIP and the prompts, and adopt its training classes.

        Raises:
            UserError: If the state is damaged, or belongs to another CLIP or other prompts.
        """
        saved = read_record(state)
        check_same_clip(saved, self.clip)
        prompts = self.prompts.describe()
        found = {key: saved.get(key) for key in prompts}
        if found != prompts:
            raise UserError(f'The checkpoint holds the prompts {short(str(found))}, but the config builds {prompts}: '
                            f'set decode_head.prompts to those of the checkpoint.')
        warn_of_settings(saved, dict(fusion='sum' if self.fusion.linear else self.fusion.kind, dense=self.dense))
        self.learned_on = saved['train_classes']
