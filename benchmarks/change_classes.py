"""Change of an inferencer's class list to twenty other names, against a new inferencer, on a 512x512 image.

MaskCLIP on ViT-B/16 with random weights. The peer's time therefore excludes loading weights from disk.
"""
from itertools import cycle

import harness
import numpy as np
import torch

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.vocabularies import class_names


def main() -> None:
    args = harness.arguments(__doc__)
    quick = ('toy-rn', 'toy', 64, class_names('toy')[:8], 4)
    model, weights, size, names, count = quick if args.quick else (
        'ViT-B-16-quickgelu', None, 512, class_names('ade20k')[:40], 20)
    lists = cycle((names[:count], names[count:2 * count]))
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)

    def build() -> OpenVocabInferencer:
        torch.manual_seed(0)
        return OpenVocabInferencer(clip=dict(model=model, weights=weights), device=args.device)

    seg = build()

    def other_names() -> list[str]:
        seg.model.decode_head.classifier._cache.clear()
        return next(lists)

    def encode() -> np.ndarray:
        seg.model.set_classes(other_names())
        with torch.no_grad():
            return seg.model.decode_head.classifier.score_weights().cpu().numpy()

    def anew() -> np.ndarray:
        return build()(image, classes=names[:count]).label_map

    def ours() -> np.ndarray:
        other_names()
        return seg(image, classes=names[:count]).label_map

    def differing(found: np.ndarray, expected: np.ndarray) -> float:
        return float((found != expected).mean()) if found.shape == expected.shape else 0.

    harness.save(harness.compare('change classes', f'{count} names',
                                 {'anew': anew, 'ours': ours, 'encode only': encode},
                                 'anew', differing, **harness.settings(args)), args)


if __name__ == '__main__':
    main()
