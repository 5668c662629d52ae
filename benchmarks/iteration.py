"""Full training iteration: MVP-SEG, ViT-B/16, 512x512, batch 2, forward and backward to the prompts.

"all baselines" has open_clip's 77 tokens (as CoOp), one map per view, the loss as in the paper and the image tower with
nn.MultiheadAttention. "text truncated" is the same, with sentences cut to the longest. Then each part of our iteration
is measured; for data loading see data_loading.py. The 15 classes are VOC's seen classes, the 156 are COCO-Stuff's. With
156, "all baselines" was killed at 23 GiB on a machine of 24 GiB. It therefore runs with 110 of the 156.
"""
from collections.abc import Callable

import harness
import peers
import torch
from image_tower import PlainViTTower
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import Tensor, nn
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401  (registers)
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.text_tower import encode_in_full
from mmseg_mvp.models.losses.refined_seg_loss import label_histogram
from mmseg_mvp.vocabularies import class_names

SPLITS = {15: 'voc20:seen', 110: 'coco_stuff:seen', 156: 'coco_stuff:seen'}
FITS = 110  # classes of "all baselines" that fit into 24 GiB on the CPU


def segmentor(model: str, classes: list[str], args) -> nn.Module:
    torch.manual_seed(0)
    head = dict(type='MultiPromptTextHead', train_classes=classes, prompts=dict(type='LearnedPrompts'),
                gpr=dict(type='GPR'), loss_presence=dict(type='PresenceLoss'), loss_oc=dict(type='OCLoss'))
    return MODELS.build(dict(type='CLIPEncoderDecoder', clip=dict(model=model), decode_head=head,
                             backbone=dict(type='CLIPImageEncoder'))).to(args.device).train()


def plain_losses(model: nn.Module, image_tower: nn.Module, images: Tensor, label: Tensor, tokens: list,
                 encode: Callable) -> Tensor:
    """Compute MVP-SEG's loss without shared computations, as reference and peer; a scalar ()."""
    head = model.decode_head
    with torch.no_grad():
        features, = image_tower(images)
    text = F.normalize(encode(head.classifier.tower.module, head.classifier.prompts.contexts, tokens), dim=-1)
    maps = torch.einsum('bdhw,vcd->bvchw', F.normalize(features, dim=1), text)
    presence = head.gpr.logits(maps[:, 0])
    present = label_histogram(label, maps.shape[2]) > 0
    return (peers.loss_as_written(head.logit_scale * maps[:, 1:].sum(dim=1), label, F.logsigmoid(presence))
            + head.loss_presence(presence, present) + head.loss_oc(head.classifier.prompts.seg_contexts))


def variants(model: nn.Module, images: Tensor, label: Tensor, args) -> dict:
    """Build the variants of the iteration; each returns the gradient of the contexts."""
    classifier = model.decode_head.classifier
    tokens = [classifier.tower.module.tokenize(f'{name}.') for name in classifier.vocabulary]
    visual = classifier.clip.model.visual.to(args.device)
    plain = PlainViTTower(visual) if hasattr(visual, 'transformer') else dense_tower(visual)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]

    def gradient(losses):
        def run() -> Tensor:
            model.zero_grad()
            with torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32'):
                loss = losses()
            loss.backward()
            return classifier.prompts.contexts.grad.clone()
        return run

    baseline = (model, plain, images, label, tokens)
    fits = args.device != 'cpu' or len(tokens) <= FITS
    return {'all baselines': gradient(lambda: plain_losses(*baseline, encode_in_full)) if fits else None,
            'text truncated': gradient(lambda: plain_losses(*baseline, peers.encode_truncated)),
            'ours': gradient(lambda: model.parse_losses(model.loss(images, samples))[0])}


def parts(model: nn.Module, images: Tensor, label: Tensor, args) -> dict:
    """Build the parts of our iteration: image tower, text tower, head and loss, forward and backward."""
    head = model.decode_head
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]
    with torch.no_grad():
        features = model.extract_feat(images)
    fixed = head.classifier.score_weights().detach()
    cast = torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32')

    def image() -> None:
        with cast:
            model.extract_feat(images)

    def text() -> None:
        with cast:
            weights = head.classifier.score_weights()
        weights.float().sum().backward()

    def rest() -> None:
        weights = fixed.clone().requires_grad_()
        head.classifier.score_weights = lambda: weights
        try:
            with cast:
                loss = model.parse_losses(head.loss(features, samples))[0]
            loss.backward()
        finally:
            del head.classifier.score_weights

    return {'image tower': image, 'text tower': text, 'head and loss': rest}


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    name, size, splits = ('toy-rn', 64, {15: 'toy:seen'}) if args.quick else ('ViT-B-16-quickgelu', 512, SPLITS)
    batch, rows = 2 if args.device == 'cpu' else 16, []
    for count, classes in splits.items():
        model = segmentor(name, class_names(classes)[:count], args)
        torch.manual_seed(0)
        images = torch.randn(batch, 3, size, size, device=args.device)
        label = F.interpolate(torch.randint(0, count, (batch, 1, 8, 8)).float(), size=(size, size)).long()[:, 0]
        label = label.to(args.device)
        options = dict(harness.settings(args), repeats=1 if args.quick else min(args.repeats, 3))
        case = f'ViT-B/16, B={batch}, C={count}, k+1=4'
        both = variants(model, images, label, args)
        peer = 'all baselines' if both['all baselines'] else 'text truncated'
        rows += harness.compare('iteration', case, both, peer, harness.relative_error, **options)
        rows += harness.compare('iteration, parts', case, {'ours': both['ours'], **parts(model, images, label, args)},
                                'ours', lambda *_: 0., **options)
        harness.save(rows, args)


if __name__ == '__main__':
    main()
