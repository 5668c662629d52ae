"""Draws from several data sets equally often."""
from collections.abc import Iterator

import torch
from mmengine.dataset import ConcatDataset, InfiniteSampler
from mmseg.registry import DATA_SAMPLERS

from mmseg_mvp.checking import check_number
from mmseg_mvp.errors import UserError


@DATA_SAMPLERS.register_module()
class EvenSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler``, with as many images from each part of a ``ConcatDataset``, whatever their sizes.

    One round takes one image of each part. Within a part every image is drawn once before any comes again. Processes
    take turns in the one stream, as in mmengine, and a resumed run goes on where it stopped (``skip``).

    Args:
        dataset (ConcatDataset): The data sets.
        shuffle (bool): Whether the images of a part, and the parts of a round, come in random order; else as they
            stand, and processes as many as parts would each see but one part.
        seed (int, optional): Seed of the order; None takes one that the processes agree on.

    Raises:
        UserError: If the data set is no ``ConcatDataset``, one of its parts is empty, or a setting is of a wrong type.
    """

    def __init__(self, dataset: ConcatDataset, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(dataset, ConcatDataset):
            raise UserError(f"EvenSampler draws from the parts of a ConcatDataset, but the data set is "
                            f"{type(dataset).__name__}: put its data sets into one (type='ConcatDataset', "
                            f"datasets=[...]), or take InfiniteSampler.")
        if not isinstance(shuffle, bool):
            raise UserError(f'EvenSampler got shuffle={shuffle!r}: expected True or False.')
        if seed is not None:
            check_number('The seed of EvenSampler', seed, least=0, whole=True)
        super().__init__(dataset, shuffle, seed)
        self.sizes = [len(part) for part in dataset.datasets]
        if 0 in self.sizes:
            empty = self.sizes.index(0)
            raise UserError(f'Part {empty} of the ConcatDataset, {type(dataset.datasets[empty]).__name__}, has no '
                            f'image to draw: look at its data_root and data_prefix, or leave it out.')

    def _infinite_indices(self) -> Iterator[int]:
        """Indices into the whole data set, without end and for all processes; the base class deals them out."""
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        starts = [0, *self.dataset.cumulative_sizes]
        parts = [self._part(start, size, generator) for start, size in zip(starts, self.sizes)]
        while True:
            for part in self._order(len(parts), generator):
                yield next(parts[part])

    def _part(self, start: int, size: int, generator: torch.Generator) -> Iterator[int]:
        """Indices of one part, without end."""
        while True:
            for index in self._order(size, generator):
                yield start + index

    def _order(self, count: int, generator: torch.Generator) -> list[int]:
        """The numbers below ``count``, each once."""
        return torch.randperm(count, generator=generator).tolist() if self.shuffle else list(range(count))
