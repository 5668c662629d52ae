"""The description of the page's model, and the features it keeps."""
import pytest
import torch
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.app.web.model import KEPT_INPUTS, describe_model, knows, remember_features
from mmseg_mvp.datasets.toy.scenes import draw_scene

TOY = dict(model='toy-rn', weights='toy')


@pytest.mark.parametrize('model, text', [
    (None, 'Model: MaskCLIP with one sentence per name, CLIP toy-rn (toy), on CPU.'),
    ('configs/mvp_seg/toy_zs.py', 'Model: MVP-SEG with 3 learned prompts, CLIP toy-rn (toy), on CPU.'),
    ('configs/lseg/toy_zs.py', 'Model: LSeg with one sentence per name, CLIP toy-rn (toy), on CPU.')])
def test_model_and_device_are_told(model, text):
    assert describe_model(OpenVocabInferencer(model, clip=TOY, device='cpu')) == text


def test_known_names():
    seg = OpenVocabInferencer(clip=TOY, device='cpu')
    assert knows(seg, 'red house') and not knows(seg, 'background')


def test_the_tower_runs_once_per_image():
    seg, fresh = (OpenVocabInferencer(clip=TOY, device='cpu') for _ in range(2))
    remember_features(seg.model)
    runs = []
    seg.model.backbone.register_forward_hook(lambda *_: runs.append(1))
    images = [Image.fromarray(draw_scene(index, 'test', 64).image) for index in range(KEPT_INPUTS + 1)]
    for image, names, count in ((images[0], 'bird, rocket', 1), (images[0], 'key, rocket, lamp', 1),
                                (images[1], 'bird, rocket', 2), (images[0], 'bird, rocket', 2)):
        out, expected = seg(image, names), fresh(image, names)
        assert torch.equal(torch.tensor(out.label_map), torch.tensor(expected.label_map)) and len(runs) == count
    assert torch.equal(out.explanation.maps, expected.explanation.maps) and len(runs) == 2
    for image in images[1:]:
        seg(image, 'bird, rocket')
    seg(images[0], 'bird, rocket')  # forgotten meanwhile
    assert len(runs) == KEPT_INPUTS + 2
