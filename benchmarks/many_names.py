"""10,000 class names with four prompts: encode the texts, then segment one 512x512 image, ViT-B/16.

No peer can run it. A run with 1,000 names gives the time per thousand.
"""
from itertools import chain

import harness
import torch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

import mmseg_mvp  # noqa: F401  (registers)
from mmseg_mvp.vocabularies import class_names


def names(count: int) -> list[str]:
    """Return distinct names: those of ADE20K and COCO-Stuff, then pairs of them."""
    single = list(dict.fromkeys(class_names('ade20k') + class_names('coco_stuff')))
    pairs = (f'{first} {second}' for second in single for first in single)
    return list(dict.fromkeys(chain(single, pairs)))[:count]


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    model, size, counts = ('toy-rn', 64, (15, 20)) if args.quick else ('ViT-B-16-quickgelu', 512, (1000, 10_000))
    vocabulary = class_names('toy') if args.quick else names(counts[-1])
    segmentor = MODELS.build(dict(
        type='CLIPEncoderDecoder', clip=dict(model=model), backbone=dict(type='CLIPImageEncoder'),
        decode_head=dict(type='MultiPromptTextHead', train_classes=vocabulary[:2], gpr=dict(type='GPR')),
        test_cfg=dict(mode='whole'))).to(args.device).eval()
    image = torch.randn(1, 3, size, size, device=args.device)
    rows = []
    for count in counts:

        def encode() -> torch.Tensor:
            segmentor.set_classes(vocabulary[:count])
            segmentor.decode_head.classifier._cache.clear()
            with torch.no_grad():
                return segmentor.decode_head.classifier.score_weights()

        def segment() -> torch.Tensor:
            encode()
            return torch.no_grad()(segmentor.predict)(image)[0].pred_sem_seg.data

        runs = {'encode only': encode, 'ours': segment} if count == counts[0] else {'ours': segment}
        rows += harness.compare('many names', f'{count} names', runs, next(iter(runs)), lambda *_: 0.,
                                **dict(harness.settings(args), repeats=1), warm_up=count == counts[0])
        harness.save(rows, args)


if __name__ == '__main__':
    main()
