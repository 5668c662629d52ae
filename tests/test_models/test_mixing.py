"""OCLoss and GPR in a stock mmseg model, without CLIP."""
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

import mmseg_mvp  # noqa: F401


@MODELS.register_module()
class RefinedFCNHead(FCNHead):
    """What a user would write: GPR on the head's own class map, OCLoss on rows of its classifier."""

    def __init__(self, gpr, loss_oc, **kwargs):
        super().__init__(**kwargs)
        self.gpr, self.loss_oc = MODELS.build(gpr), MODELS.build(loss_oc)
        self.queries = nn.Parameter(torch.randn(3, 2, 16))

    def forward(self, inputs):
        logits = super().forward(inputs)
        return logits + self.gpr(logits)[:, :, None, None]

    def loss_by_feat(self, seg_logits, batch_data_samples):
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        losses[self.loss_oc.loss_name] = self.loss_oc(self.queries)
        return losses


def test_oc_loss_and_gpr_train_a_step_in_a_stock_fcn():
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        backbone=dict(type='ResNet', depth=18, strides=(1, 2, 1, 1), base_channels=8, norm_cfg=dict(type='BN')),
        decode_head=dict(type='RefinedFCNHead', in_channels=64, in_index=3, channels=16, num_convs=1, num_classes=5,
                         norm_cfg=dict(type='BN'), gpr=dict(type='GPR', gamma=2., temperature=1.),
                         loss_oc=dict(type='OCLoss', loss_weight=0.1)))).train()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 32, 32)))) for _ in range(2)]
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.01)))
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = model.loss(torch.randn(2, 3, 32, 32), samples)
    assert {'decode.loss_ce', 'decode.loss_oc'} <= set(losses)
    loss, _ = model.parse_losses(losses)
    optimizer.update_params(loss)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {'decode_head.gpr.log_temperature', 'decode_head.queries', 'decode_head.conv_seg.weight'} <= changed
