"""Refined logits and label map of 512x512 from logits of 32x32: PAMR of 10 iterations, dilations 8 and 16.

Peer: resize, then PAMR with all neighbours of all classes at once.
"""
import harness
import peers
import torch
from mmseg.models.utils import resize

from mmseg_mvp.models.modules.pamr import PAMR
from mmseg_mvp.models.utils.refined_logits import RefinedLogits
from mmseg_mvp.models.utils.tiled_resize import resize_matrices


def main() -> None:
    args = harness.arguments(__doc__)
    small, size = (4, (32, 32)) if args.quick else (32, (512, 512))
    rows, pamr = [], PAMR()
    for classes in (15, 150):
        torch.manual_seed(0)
        logits = 3 * torch.randn(classes, small, small, device=args.device)
        # A smooth picture with noise: every pixel has neighbours of similar and of other colours.
        image = resize(torch.randn(1, 3, small, small, device=args.device), size=size, mode='bilinear')[0]
        image += 0.1 * torch.randn_like(image)
        matrices = dict(zip(('rows', 'columns'), resize_matrices(logits, size, False)))
        ours = RefinedLogits(logits=logits, image=image, **matrices, metainfo=dict(refinement=pamr))

        def plain() -> torch.Tensor:
            full = resize(logits[None], size=size, mode='bilinear')[0]
            return peers.pamr_as_written(full, image, pamr.iterations, pamr.dilations)

        rows += harness.compare('refined logits', f'C={classes}', {'as written': plain, 'ours': ours.resize},
                                'as written', harness.relative_error, **harness.settings(args))
        rows += harness.compare('refined label map', f'C={classes}', {
            'as written': lambda: plain().argmax(dim=0), 'ours': ours.label_map}, 'as written', harness.disagreement,
            **harness.settings(args))
        harness.save(rows, args)


if __name__ == '__main__':
    main()
