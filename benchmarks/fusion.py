"""Fusion of three prompts by log-sum-exp against the paper's sum: ViT-B/16, 512x512, 150 classes.

"iteration" is forward and backward of two images, "inference" one image with texts encoded before. "class maps"
compares our fusion with a loop over the classes, as written.
"""
import harness
import torch
import views
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

LOGSUMEXP = dict(type='logsumexp', sharpness=50.)


def build(fusion: str | dict, model: str, classes: str, device: str) -> torch.nn.Module:
    """Build MVP-SEG with three prompts, the same for each fusion."""
    torch.manual_seed(0)
    return views.segmentor(dict(model=model), 3, classes, device, fusion=fusion,
                           loss_presence=dict(type='PresenceLoss'))


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    model, classes, size = ('toy-rn', 'toy', 64) if args.quick else ('ViT-B-16-quickgelu', 'ade20k', 512)
    summed, fused = (build(fusion, model, classes, args.device) for fusion in ('sum', LOGSUMEXP))
    images = torch.randn(2, 3, size, size, device=args.device)
    labels = torch.randint(0, len(fused.decode_head.classifier.vocabulary), (2, 1, size, size), device=args.device)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    cast = torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32')

    def iterate(segmentor: torch.nn.Module):
        def run() -> torch.Tensor:
            segmentor.zero_grad()
            with cast:
                loss = segmentor.parse_losses(segmentor.loss(images, samples))[0]
            loss.backward()
            return loss.detach()
        return run

    def predict(segmentor: torch.nn.Module):
        @torch.no_grad()
        def run() -> torch.Tensor:
            with cast:
                return segmentor.predict(images[:1])[0].pred_sem_seg.data[0]
        return run

    head = fused.decode_head
    with torch.no_grad():
        features = head.features(fused.extract_feat(images))

    @torch.no_grad()
    def loop() -> torch.Tensor:
        text = head.classifier.embeddings()[1:]  # (3, C, D)
        scores = []
        for index in range(text.shape[1]):
            cosines = torch.stack([(features * one[:, None, None]).sum(dim=1) for one in text[:, index]], dim=1)
            scores.append(3 / 50 * (50 * cosines).exp().mean(dim=1).log())
        return torch.stack(scores, dim=1)

    @torch.no_grad()
    def ours() -> torch.Tensor:
        return head.classifier(features, head.class_weights())[:, 0]

    settings = harness.settings(args)
    rows = []
    for case, make in (('iteration, k=3, C=150', iterate), ('inference, k=3, C=150', predict)):
        rows += harness.compare('fusion', case, {'sum': make(summed), 'ours': make(fused)}, 'sum', lambda *_: 0.,
                                **settings)
    rows += harness.compare('fusion', 'class maps, k=3, C=150', {'as written': loop, 'ours': ours}, 'as written',
                            harness.relative_error, **settings)
    harness.save(rows, args)


if __name__ == '__main__':
    main()
