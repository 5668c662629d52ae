"""k segmentation prompts at inference: ViT-B/16, one 512x512 image, 150 classes, texts encoded before.

The peer has one prompt. "one map per view" has eight and computes one class map per prompt.
"""
import harness
import torch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

import mmseg_mvp  # noqa: F401  (registers)


def segmentor(clip: dict, views: int, classes: str, device: str, **head) -> torch.nn.Module:
    """Build MVP-SEG over CLIP's own tower, with ``head`` added to the config of the head."""
    head = dict(type='MultiPromptTextHead', train_classes=classes, gpr=dict(type='GPR'),
                prompts=dict(type='LearnedPrompts', num_prompts=views), **head)
    return MODELS.build(dict(type='CLIPEncoderDecoder', clip=clip, backbone=dict(type='CLIPImageEncoder'),
                             decode_head=head, test_cfg=dict(mode='whole'))).to(device).eval()


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    model, classes, size = ('toy-rn', 'toy', 64) if args.quick else ('ViT-B-16-quickgelu', 'ade20k', 512)
    one, eight = (segmentor(dict(model=model), views, classes, args.device) for views in (1, 8))
    image = torch.randn(1, 3, size, size, device=args.device)

    @torch.no_grad()
    def separate() -> torch.Tensor:
        maps = eight.decode_head.view_maps(eight.extract_feat(image))
        logits = eight.decode_head.logit_scale * maps[:, 1:].sum(dim=1)
        return eight.decode_head.refine(torch.cat([logits, maps[:, 0]], dim=1))[0].argmax(dim=0)

    def predict(segmentor: torch.nn.Module):
        @torch.no_grad()
        def run() -> torch.Tensor:
            with torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32'):
                return segmentor.predict(image)[0].pred_sem_seg.data[0]
        return run

    rows = harness.compare('views', 'k=8 against k=1', {'k=1': predict(one), 'ours': predict(eight)}, 'k=1',
                           lambda *_: 0., **harness.settings(args))
    low = {'one map per view': separate,
           'ours': torch.no_grad()(lambda: eight.decode_head(eight.extract_feat(image))[0].argmax(dim=0))}
    rows += harness.compare('views', 'k=8, class maps', low, 'one map per view', harness.disagreement,
                            **harness.settings(args))
    harness.save(rows, args)


if __name__ == '__main__':
    main()
