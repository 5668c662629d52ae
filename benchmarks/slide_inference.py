"""Sliding windows over a 512x683 image with 847 classes: from features to the label map.

Windows of 512 every 336 pixels, features of stride 16. A stub replaces the image tower, which is the same for both
variants. Peer: mmseg's slide_inference and postprocess_result.
"""
import harness
import torch
from many_names import names
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import Tensor, nn

import mmseg_mvp  # noqa: F401  (registers)
from mmseg_mvp.vocabularies import class_names


@MODELS.register_module(force=True)
class RandomFeatures(nn.Module):
    """Stub of an image tower: features (B, D, H/16, W/16) from the mean colour of each cell."""
    stride = 16

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer('directions', torch.randn(channels, 3))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        pooled = nn.functional.avg_pool2d(images, self.stride, ceil_mode=True)
        return torch.einsum('bchw,dc->bdhw', pooled, self.directions).sin(),


class PeerSegmentor(EncoderDecoder):
    """Segmentor with mmseg's inference: full-size logits of each window, padded to the image and added."""


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    MODELS.register_module(module=PeerSegmentor, force=True)
    model, count, size, crop, step = ('toy-rn', 20, (64, 96), 64, 32) if args.quick else (
        'ViT-B-16-quickgelu', 847, (512, 683), 512, 336)
    classes = class_names('toy') if args.quick else names(count)
    test_cfg = ConfigDict(mode='slide', crop_size=(crop, crop), stride=(step, step))
    models = {}
    for name, kind in (("mmseg's", 'PeerSegmentor'), ('ours', 'CLIPEncoderDecoder')):
        head = dict(type='MultiPromptTextHead', clip=dict(model=model), train_classes=classes[:2], gpr=None,
                    test_classes=classes, in_channels=512,
                    prompts=dict(type='LearnedPrompts', num_prompts=1, global_prompt=False))
        torch.manual_seed(0)
        models[name] = MODELS.build(dict(type=kind, backbone=dict(type='RandomFeatures', channels=512),
                                         decode_head=head, test_cfg=test_cfg)).to(args.device).eval()
        # mmseg takes the number of classes from this attribute.
        models[name].out_channels = count
    models['ours'].load_state_dict(models["mmseg's"].state_dict())
    torch.manual_seed(0)
    image = torch.randn(1, 3, *size, device=args.device)

    def predict(segmentor: nn.Module):
        @torch.no_grad()
        def run() -> Tensor:
            sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0] * 4))
            return segmentor.predict(image, [sample])[0].pred_sem_seg.data[0]
        return run

    for segmentor in models.values():
        predict(segmentor)()  # encodes the texts
    rows = harness.compare('slide inference', f'C={count}, {size[0]}x{size[1]}',
                           {name: predict(one) for name, one in models.items()}, "mmseg's", harness.disagreement,
                           **harness.settings(args))
    harness.save(rows, args)


if __name__ == '__main__':
    main()
