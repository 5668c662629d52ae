"""Sampler with equal shares of several data sets."""
from collections.abc import Iterator

import torch
from mmengine.dataset import ConcatDataset, InfiniteSampler
from mmseg.registry import DATA_SAMPLERS

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number


@DATA_SAMPLERS.register_module()
class EvenSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler`` with equal numbers of images from all parts of a ``ConcatDataset``.

    One round takes one image of each part. Each image of a part is drawn once before any is repeated. Processes share
    one stream, as in mmengine, and a resumed run continues in it (``skip``).

    Args:
        dataset (ConcatDataset): Data sets to draw from.
        shuffle (bool): If True, images of a part and parts of a round have random order. If False, the order is fixed;
            with as many processes as parts, each process then sees one part only.
        seed (int, optional): Seed of the order; None takes a common random seed of all processes.

    Raises:
        UserError: If ``dataset`` is not a ``ConcatDataset``, has an empty part, or a setting has a wrong type.
    """

    def __init__(self, dataset: ConcatDataset, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(dataset, ConcatDataset):
            raise UserError(f"The data set of EvenSampler is {type(dataset).__name__}: expected a ConcatDataset; set "
                            f"type='ConcatDataset' and datasets=[...], or use InfiniteSampler.")
        if not isinstance(shuffle, bool):
            raise UserError(f'EvenSampler got shuffle={shuffle!r}: expected True or False.')
        if seed is not None:
            check_number('The seed of EvenSampler', seed, least=0, whole=True)
        super().__init__(dataset, shuffle, seed)
        self.sizes = [len(part) for part in dataset.datasets]
        if 0 in self.sizes:
            empty = self.sizes.index(0)
            raise UserError(f'Part {empty} of the ConcatDataset, {type(dataset.datasets[empty]).__name__}, has no '
                            f'image: correct its data_root and data_prefix, or remove this part.')

    def _infinite_indices(self) -> Iterator[int]:
        """Generate endless indices in the whole data set, which the base class distributes to processes."""
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        starts = [0, *self.dataset.cumulative_sizes]
        parts = [self._part(start, size, generator) for start, size in zip(starts, self.sizes)]
        while True:
            for part in self._order(len(parts), generator):
                yield next(parts[part])

    def _part(self, start: int, size: int, generator: torch.Generator) -> Iterator[int]:
        """Generate endless indices of one part."""
        while True:
            for index in self._order(size, generator):
                yield start + index

    def _order(self, count: int, generator: torch.Generator) -> list[int]:
        """Return the numbers below ``count`` in order or shuffled."""
        return torch.randperm(count, generator=generator).tolist() if self.shuffle else list(range(count))
