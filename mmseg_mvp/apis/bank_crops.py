"""Fixed crops of training images, their labels and their features, for a feature bank."""
from collections.abc import Mapping, Sequence

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.random_state import seed_cpu


class Crops(Dataset):
    """The A crops of each image of a data set, as lists of packed samples.

    Args:
        dataset (Dataset): Data set with its training pipeline.
        augmentations (int): Number A of crops.
        seed (int): Seed.
    """

    def __init__(self, dataset: Dataset, augmentations: int, seed: int) -> None:
        self.dataset, self.augmentations, self.seed = dataset, augmentations, seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> list[dict]:
        """Return the packed crops of an image: ``inputs`` (3, H, W) and ``data_samples`` each."""
        samples = []
        for augmentation in range(self.augmentations):
            seed_cpu(self.seed, index, augmentation)
            samples.append(self.dataset[index])
        return samples


def inputs_of(samples: list[dict], model: nn.Module) -> tuple[Tensor, Tensor]:
    """Preprocess the crops of an image: images (A, 3, H, W) and labels (A, H, W).

    Raises:
        UserError: If the crops differ in size, have no labels, or have their own vocabulary.
    """
    images, labels = [], []
    for sample in samples:
        data = model.data_preprocessor(pseudo_collate([sample]), training=True)
        image, (packed, ) = model.padded_batch(data['inputs'], data['data_samples'])
        if 'gt_sem_seg' not in packed or 'vocabulary' in packed.metainfo:
            reason = 'have no labels' if 'gt_sem_seg' not in packed else 'have a vocabulary of their own'
            raise UserError(f'The training samples {reason}, which a feature bank cannot store: correct the '
                            f'pipeline of train_dataloader, or train without --feature-bank (feature_bank).')
        images.append(image)
        labels.append(packed.gt_sem_seg.data)
    sizes = {tuple(image.shape[2:]) for image in images}
    if len(sizes) > 1:
        raise mixed_sizes(samples[0]['data_samples'].metainfo.get('img_path'), *sorted(sizes)[:2])
    return torch.cat(images), torch.cat(labels)


def mixed_sizes(path: str, one: Sequence[int], other: Sequence[int]) -> UserError:
    """Return the error for crops of two sizes, (H, W)."""
    return UserError(f'The crops of {path!r} have the sizes {one[1]} x {one[0]} and {other[1]} x {other[0]} pixels, '
                     f'but all crops of a feature bank have one size: crop by CountingRandomCrop, and set '
                     f'model.data_preprocessor.size to its crop_size.')


@torch.no_grad()
def features_of(images: Tensor, model: nn.Module, loader: Mapping) -> Tensor:
    """Run the image tower over images (A, 3, H, W) in batches of the training: features (A, D, h, w)."""
    return torch.cat([model.extract_feat(part)[0] for part in images.split(loader.get('batch_size') or 1)])
