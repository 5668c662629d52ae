"""Label map of 512x512 from logits of 32x32.

Peers: the paper's order (resize, softmax, times g, argmax), and resize and argmax of log-space logits.
"""
import harness
import peers
import torch
from mmseg.models.utils import resize
from torch.nn import functional as F

from mmseg_mvp.models.utils.label_map import label_map
from mmseg_mvp.models.utils.tiled_resize import resize_matrices


def main() -> None:
    args = harness.arguments(__doc__)
    small, size = (4, (32, 32)) if args.quick else (32, (512, 512))
    rows = []
    for classes in (15, 150, 847):
        torch.manual_seed(0)
        logits = 3 * torch.randn(classes, small, small, device=args.device)
        log_presence = F.logsigmoid(torch.randn(classes, device=args.device))
        refined = logits + log_presence[:, None, None]
        variants = {
            'as written': lambda: peers.label_map_as_written(logits, log_presence.exp(), size),
            'resize, argmax': lambda: resize(refined[None], size=size, mode='bilinear')[0].argmax(dim=0),
            'ours': lambda: label_map(refined, *resize_matrices(refined, size, False))}
        rows += harness.compare('label map', f'C={classes}', variants, 'as written', harness.disagreement,
                                **harness.settings(args))
        harness.save(rows, args)


if __name__ == '__main__':
    main()
