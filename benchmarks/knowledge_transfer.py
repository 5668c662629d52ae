"""Cost of the teacher: an iteration of MVP-SEG+ in phase 1 against one in phase 2, with labels from the student.

An iteration has forward, backward and optimizer step. The cases are the toy world, and an RN50 teacher with an R101
student at 512x512 with random weights. The teacher may take at most 35 % of an iteration, so phase 2 must take at least
0.65 of the time of phase 1. The time of the teacher alone over that of phase 1 gives the same share.
"""
from collections.abc import Callable
from pathlib import Path

import harness
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import nn

import mmseg_mvp  # noqa: F401  (registers)
from mmseg_mvp.labels import HIDDEN, IGNORE

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'mvp_seg_plus'


def segmentor(name: str, device: str) -> tuple[nn.Module, Config]:
    """Build a student with its teacher in train mode; return it with its config."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    if name != 'toy_zs':
        cfg.model.teacher.clip.weights = None
        cfg.model.backbone.init_cfg = None
        cfg.model.backbone.norm_cfg = cfg.model.decode_head.norm_cfg = dict(type='BN')
    return MODELS.build(cfg.model).to(device).train(), cfg


def iterations(model: nn.Module, cfg: Config, batch: int, size: int, device: str) -> dict[str, Callable]:
    """Build an iteration of each phase and the teacher alone; a random quarter of the pixels is hidden."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    images = torch.randn(batch, 3, size, size, device=device)
    values = torch.tensor([0, 1, IGNORE, HIDDEN + int(model.unseen[0])], device=device)
    labels = values[torch.randint(0, 4, (batch, 1, size, size), device=device)]

    def iteration(share: float) -> Callable:
        def run() -> float:
            model.teacher_share = share
            samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in labels]
            loss, logs = model.parse_losses(model.loss(images, samples))
            wrapper.update_params(loss)
            return float(logs['phase'])
        return run

    @torch.no_grad()
    def teacher() -> None:
        model._teacher_scores(images)

    return {'phase 2, the student labels': iteration(0.), 'ours': iteration(1.), 'the teacher alone': teacher}


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    MessageHub.get_instance('benchmark')  # no runner: iteration 0 of 1
    cases = {'toy, B=16': ('toy_zs', 16, 64)}
    if not args.quick:
        cases['RN50 teacher, R101 DeepLabV2, 512x512, B=1'] = ('voc_zs', 1, 512)
    rows = []
    for case, (name, batch, size) in cases.items():
        model, cfg = segmentor(name, args.device)
        variants = iterations(model, cfg, batch, size, args.device)
        rows += harness.compare('teacher in an iteration', case, variants, next(iter(variants)), lambda *_: 0.,
                                **harness.settings(args))
        harness.save(rows, args)


if __name__ == '__main__':
    main()
