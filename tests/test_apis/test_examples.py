"""Examples as classes: regions, embeddings, files and mistakes, against values computed by hand."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from mmseg_mvp.apis import Example, ExampleClasses, OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.models.text.example_rows import ExampleRows

ROOT = Path(__file__).parents[2]
MASKCLIP, MVP_SEG, LSEG = (str(ROOT / f'configs/{name}/toy_zs.py') for name in ('maskclip', 'mvp_seg', 'lseg'))
CELL = 8  # stride of the toy CLIP


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.fixture(scope='module')
def mvp_seg():
    init_default_scope('mmseg')
    torch.manual_seed(3)
    cfg = Config.fromfile(MVP_SEG)
    found = OpenVocabInferencer(cfg, device='cpu')
    found.model.decode_head.classifier.prompts.contexts.data.normal_()
    return found


def scenes_with(name, count, split='train'):
    """The first pictures that show a class, with its mask."""
    scenes = (draw_scene(index, split) for index in range(1000))
    label = CLASSES.index(name)
    found = [scene for scene in scenes if (scene.labels == label).sum() > 100][:count]
    return [(Image.fromarray(scene.image), scene.labels == label) for scene in found]


def rows_of(seg, classes):
    """Rows of the classifier after a call, (P, S, D)."""
    seg(scenes_with('rocket', 1)[0][0], classes)
    return seg.model.decode_head.classifier.embeddings()


def naive_mean(seg, picture, region):
    """Mean over pixels of the bilinearly enlarged features, for a picture that the pipeline leaves as it is."""
    features = seg.features(picture)[None]  # (1, D, h, w)
    enlarged = F.interpolate(features, scale_factor=CELL, mode='bilinear', align_corners=False)[0]  # (D, H, W)
    return enlarged[:, torch.as_tensor(region)].mean(dim=1)


class TestRegion:

    def test_kinds(self):
        picture = np.zeros((5, 7, 3), np.uint8)
        mask = np.zeros((5, 7), np.uint8)
        mask[1:3, 2:6] = 9
        for example in (Example(picture, box=(2, 1, 6, 3)), Example(picture, box=np.array([2.5, 1, 5.5, 3])),
                        Example(picture, mask=mask), Example(picture, mask=mask > 0)):
            np.testing.assert_array_equal(example.region(5, 7), mask > 0)
        for point in ((6, 4), (6.9, 4.5), np.array([6, 4])):
            assert np.argwhere(Example(picture, point=point).region(5, 7)).tolist() == [[4, 6]]
        assert Example(picture).region(5, 7).all() and Example(picture, box=(0, 0, 7, 5)).region(5, 7).all()

    def test_mask_files(self, tmp_path):
        mask = np.zeros((5, 7), np.uint16)
        mask[1:3, 2:6] = 300
        Image.fromarray(mask).save(tmp_path / 'größe.png')
        np.testing.assert_array_equal(Example('a.jpg', mask=tmp_path / 'größe.png').region(5, 7), mask > 0)
        refused(lambda: Example('a.jpg', mask=tmp_path / 'gone.png').region(5, 7), 'gone.png', 'cannot be opened')
        (tmp_path / 'bad.png').write_text('no image')
        refused(lambda: Example('a.jpg', mask=str(tmp_path / 'bad.png')).region(5, 7), 'bad.png', 'cannot be read')

    @pytest.mark.parametrize('region, words', [
        (dict(mask=np.zeros((5, 7), bool)), ['empty', 'Example(a.jpg)']),
        (dict(mask=np.ones((7, 5), bool)), ['5 x 7 pixels', 'the picture has 7 x 5']),
        (dict(mask=np.ones((5, 7))), ['float64 (5, 7)']), (dict(mask=[[1, 2]]), ['list']),
        (dict(box=(2, 2, 2, 4)), ['has no area']), (dict(box=(4, 2, 2, 4)), ['has no area']),
        (dict(box=(-1, 0, 2, 4)), ['reaches outside', '7 x 5']), (dict(box=(0, 0, 8, 4)), ['reaches outside']),
        (dict(box=(9, 9, 12, 12)), ['reaches outside']), (dict(box=(1, 2, 3)), ['expected (left, top, right, bottom)']),
        (dict(box=(1, 2, float('nan'), 4)), ['finite number']), (dict(box='abcd'), ['(left, top, right, bottom)']),
        (dict(point=(7, 0)), ['lies outside']), (dict(point=(0, -1)), ['lies outside']), (dict(point=3), ['(x, y)']),
        (dict(point=(1, 2), box=(0, 0, 1, 1)), ['2 regions, box and point']),
        (dict(mask=np.ones((5, 7), bool), box=(0, 0, 1, 1), point=(0, 0)), ['3 regions'])])
    def test_mistakes(self, region, words):
        refused(lambda: Example('a.jpg', **region).region(5, 7), *words)


class TestEmbeddings:

    def test_row_is_the_shifted_mean_of_the_region(self, seg):
        """row = normalize(mean of words + spread of words * direction from the mean of the pictures), two examples."""
        pairs = scenes_with('rocket', 2)
        rows = rows_of(seg, {'widget': [Example(picture, mask=mask) for picture, mask in pairs], 'lamp': 'lamp'})
        inside = F.normalize(sum(F.normalize(naive_mean(seg, *pair), dim=0) for pair in pairs), dim=0)
        mean = sum(naive_mean(seg, picture, np.ones((64, 64), bool)) for picture, _ in pairs) / 2
        words = seg.embed('toy')  # training classes of the config, one wording each
        spread = (words - words.mean(dim=0)).norm(dim=1).mean()
        expected = F.normalize(words.mean(dim=0) + spread * F.normalize(inside - mean, dim=0), dim=0)
        assert rows.shape == (1, 2, 96)
        torch.testing.assert_close(rows[0, 0], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(rows[0, 1], seg.embed(['lamp'])[0], atol=1e-6, rtol=0)

    @pytest.mark.slow
    def test_words_are_mixed_in_by_the_weight(self, seg, monkeypatch):
        example = Example(*scenes_with('rocket', 1)[0])
        alone = rows_of(seg, {'rocket': example, 'lamp': 'lamp'})[0, 0]
        text = seg.embed(['rocket', 'lamp'])
        for weight in (0., .3, 1.):
            monkeypatch.setattr(seg, 'example_weight', weight)
            rows = rows_of(seg, {'lamp': 'lamp', 'rocket': ['rocket', 'lamp', example]})[0]
            assert len(rows) == 3 and seg.model.decode_head.classifier.row_counts == [1, 2]
            for row, words in zip(rows[1:], (text[0], text[1])):
                expected = F.normalize(weight * alone + (1 - weight) * words, dim=0)
                torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)

    @pytest.mark.slow
    def test_each_prompt_takes_the_example_but_presence_takes_words(self, mvp_seg):
        example = Example(*scenes_with('rocket', 1)[0])
        words = rows_of(mvp_seg, {'rocket': 'rocket', 'lamp': 'lamp'})
        both = rows_of(mvp_seg, {'rocket': ['rocket', example], 'lamp': 'lamp'})
        alone = rows_of(mvp_seg, {'rocket': example, 'lamp': 'lamp'})
        assert words.shape == both.shape == alone.shape == (4, 2, 96)
        torch.testing.assert_close(both[0], words[0])  # the global prompt
        for other in (words, alone):
            assert ((both[1:, 0] - other[1:, 0]).norm(dim=-1) > .05).all()
        assert (alone[0, 0] - words[0, 0]).norm() > .05
        torch.testing.assert_close(alone.norm(dim=-1), torch.ones(4, 2))
        torch.testing.assert_close(alone[:, 1], words[:, 1])

    @pytest.mark.slow
    def test_a_point_and_a_box_are_not_lost_in_coarse_cells(self, seg):
        picture, _ = scenes_with('rocket', 1)[0]
        region = np.zeros((64, 64), bool)
        region[13, 50] = True
        rows = [rows_of(seg, {'a': example, 'lamp': 'lamp'})[0, 0] for example in (
            Example(picture, point=(50, 13)), Example(picture, box=(50, 13, 51, 14)), Example(picture, mask=region),
            Example(picture, point=(4, 60)))]
        torch.testing.assert_close(rows[0], rows[1])
        torch.testing.assert_close(rows[0], rows[2])
        assert (rows[0] - rows[3]).norm() > .1

    @pytest.mark.slow
    def test_pixels_are_those_of_the_original(self, seg):
        """A picture of twice the size with a box of twice the size gives nearly the same."""
        picture, _ = scenes_with('rocket', 1)[0]
        rows = [rows_of(seg, {'a': Example(one, box=box), 'lamp': 'lamp'})[0, 0] for one, box in (
            (picture, (10, 20, 40, 50)), (picture.resize((128, 128), Image.Resampling.NEAREST), (20, 40, 80, 100)),
            (picture, (30, 0, 60, 20)))]
        assert (rows[0] - rows[1]).norm() < .1 < .3 < (rows[0] - rows[2]).norm()

    def test_unknown_words_need_no_vector(self, seg):
        """The toy CLIP has no vector for 'dragon', which an example makes unnecessary."""
        picture, mask = scenes_with('rocket', 1)[0]
        refused(lambda: seg(picture, 'dragon, lamp'), "no vector for 'dragon'")
        out = seg(picture, {'dragon': Example(picture, mask=mask), 'lamp': 'lamp'})
        assert (out.label_map == out.index('dragon'))[mask].mean() > .8

    def test_other_calls_are_not_changed(self, seg):
        picture, mask = scenes_with('rocket', 1)[0]
        before = seg(picture, 'rocket, lamp').scores()
        views = seg(picture, {'rocket': ['rocket', Example(picture, mask=mask)], 'lamp': 'lamp'})
        assert np.abs(views.scores() - before).max() > .01
        np.testing.assert_array_equal(seg(picture, 'rocket, lamp').scores(), before)
        seg(picture, 'lamp, rocket')
        assert views.views('rocket').shape == (1, 64, 64)  # computed now, with the examples

    @pytest.mark.parametrize('config', [MASKCLIP, MVP_SEG, LSEG])
    def test_every_family_finds_its_own_example(self, config):
        """The features of the region score higher in it than in the rest, also with untrained weights of LSeg."""
        torch.manual_seed(0)
        seg = OpenVocabInferencer(config, device='cpu')
        picture, mask = scenes_with('rocket', 1)[0]
        other = ~mask
        out = seg(picture, {'a': Example(picture, mask=mask), 'b': Example(picture, mask=other)})
        score = out.score('a')
        assert score[mask].mean() > score[other].mean()
        assert config == LSEG or (out.label_map == 0)[mask].mean() > .5

    def test_sliding_windows_are_those_of_inference(self):
        cfg = Config.fromfile(LSEG)
        cfg.model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
        torch.manual_seed(0)
        seg = OpenVocabInferencer(cfg, device='cpu')
        images = torch.randn(1, 3, 64, 48)
        features, covered = seg.model.text_space_features(images)
        assert features.shape == (1, 96, 64, 48) and covered == (64, 48)
        assert seg.model.out_channels == 20 and not seg.model.decode_head.returns_features
        total, count = torch.zeros_like(features), torch.zeros(1, 1, 64, 48)
        with torch.no_grad():
            for top in (0, 16, 32):
                for left in (0, 16):
                    window = images[..., top:top + 32, left:left + 32]
                    with seg.model.decode_head.returning_features():
                        maps = seg.model.decode_head(seg.model.extract_feat(window))
                    total[..., top:top + 32, left:left + 32] += F.interpolate(
                        maps, size=(32, 32), mode='bilinear', align_corners=seg.model.align_corners)
                    count[..., top:top + 32, left:left + 32] += 1
        torch.testing.assert_close(features, F.normalize(total / count, dim=1), atol=1e-5, rtol=1e-4)


class TestMistakes:

    @pytest.mark.parametrize('value, words', [
        (7, ["Class 'w' has a int"]), ([[1]], ["Class 'w' has a list"]), ([], ['empty name or wording']),
        (Example('gone.jpg'), ['gone.jpg does not exist']),
        (Example(np.zeros((9, 9, 3), np.uint8)), ['do not differ from their pictures'])])
    def test_classes(self, seg, value, words):
        refused(lambda: seg(scenes_with('rocket', 1)[0][0], {'w': value, 'lamp': 'lamp'}), *words)

    def test_names(self, seg):
        picture, mask = scenes_with('rocket', 1)[0]
        example = Example(picture, mask=mask)
        refused(lambda: seg(picture, {'w': example}), 'A single class')
        refused(lambda: seg(picture, {'': example, 'lamp': 'lamp'}), 'empty name')
        refused(lambda: seg(picture, {3: example, 'lamp': 'lamp'}), 'not strings')
        refused(lambda: seg(picture, [example, 'lamp']), 'Example')
        refused(lambda: seg.embed({'w': example, 'lamp': 'lamp'}), 'not strings')

    def test_weight(self):
        seg = OpenVocabInferencer(MASKCLIP, device='cpu', example_weight=1.5)
        picture, mask = scenes_with('rocket', 1)[0]
        refused(lambda: seg(picture, {'w': Example(picture, mask=mask), 'lamp': 'lamp'}), 'example_weight', '1.5')


class TestFiles:

    @pytest.fixture
    def classes(self, seg):
        return seg.embed_examples({'widget': Example(*scenes_with('rocket', 1)[0]), 'sky': 'lamp',
                                   'großes Haus': ['house', Example(*scenes_with('house', 1)[0])]})

    def test_round_trip(self, seg, classes, tmp_path):
        classes.save(tmp_path / 'a.safetensors')
        loaded = ExampleClasses.load(tmp_path / 'a.safetensors')
        assert list(loaded) == ['widget', 'großes Haus'] and loaded['großes Haus'][0] == 'house'
        picture = Image.fromarray(draw_scene(5, 'test').image)
        scores = [seg(picture, {**one, 'lamp': 'lamp'}).scores() for one in (classes, loaded)]
        np.testing.assert_array_equal(*scores)
        assert np.ptp(scores[0]) > .1 and (tmp_path / 'a.safetensors').stat().st_size < 3000
        with safe_open(tmp_path / 'a.safetensors', 'pt') as file:
            metadata = file.metadata()
            assert file.get_tensor('directions').shape == (2, 96)
        assert json.loads(metadata['classes']) == {'widget': [], 'großes Haus': ['house']}
        assert metadata['fingerprint'] == seg.model.decode_head.classifier.clip.fingerprint
        refused(lambda: classes.save(tmp_path / 'a.safetensors'), 'exists already')
        refused(lambda: classes.save(tmp_path / 'a.pth'), '.safetensors')
        refused(lambda: seg.embed_examples(dict(widget=[*loaded['widget'], Example('a.jpg')])), 'beside further ones')

    def test_full_disk(self, classes):
        refused(lambda: classes.save('/dev/full/a.safetensors'), "can't be written")

    def test_other_files(self, seg, classes, tmp_path):
        refused(lambda: ExampleClasses.load(tmp_path / 'gone.safetensors'), 'gone.safetensors', 'missing')
        classes.save(tmp_path / 'a.safetensors')
        content = (tmp_path / 'a.safetensors').read_bytes()
        (tmp_path / 'cut.safetensors').write_bytes(content[:-9])
        refused(lambda: ExampleClasses.load(tmp_path / 'cut.safetensors'), 'cut.safetensors', 'truncated')
        save_file(dict(x=torch.ones(1)), tmp_path / 'x.safetensors', dict(format='pt'))
        refused(lambda: ExampleClasses.load(tmp_path / 'x.safetensors'), 'not a file of examples')
        metadata = dict(classes['widget'][-1].metadata, format='mmseg_mvp.examples.1')
        for name, tensors, names in (('a', dict(x=torch.ones(1)), '{"w": []}'),
                                     ('b', dict(directions=torch.ones(2, 96)), '{"w": []}'),
                                     ('c', dict(directions=torch.full((1, 96), torch.nan)), '{"w": []}'),
                                     ('d', dict(directions=torch.ones(1, 96)), '[3'),
                                     ('e', dict(directions=torch.ones(1, 96)), '{"w": [3]}'),
                                     ('f', dict(directions=torch.tensor(1.)), '{"w": []}')):
            save_file(tensors, tmp_path / f'{name}2.safetensors', dict(metadata, classes=names))
            refused(lambda name=name: ExampleClasses.load(tmp_path / f'{name}2.safetensors'), 'is damaged')

    def test_another_clip_is_refused(self, classes, tiny_rn):
        cfg = Config.fromfile(MASKCLIP)
        cfg.model.clip = tiny_rn
        cfg.model.decode_head.update(train_classes=['cat', 'dog'])
        other = OpenVocabInferencer(cfg, device='cpu')
        picture = Image.fromarray(draw_scene(5, 'test').image)
        refused(lambda: other(picture, {**classes, 'cat': 'cat'}), "'widget'", 'toy-rn', 'compute them with this model')

    def test_other_features_are_refused(self, classes, mvp_seg):
        """MVP-SEG has MaskCLIP's features, another dense variant and LSeg have others."""
        picture = Image.fromarray(draw_scene(5, 'test').image)
        assert mvp_seg(picture, {**classes, 'lamp': 'lamp'}).present()
        cfg = Config.fromfile(MASKCLIP)
        cfg.model.backbone.dense = 'vv'
        for config in (cfg, LSEG):
            other = OpenVocabInferencer(config, device='cpu')
            refused(lambda other=other: other(picture, {**classes, 'lamp': 'lamp'}), 'of other features', 'dense=mask')


def test_model_refuses_examples_of_no_class():
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(MASKCLIP).model)
    lamp, row = dict(lamp=('lamp', )), ExampleRows(dict(w=torch.ones(96)))
    refused(lambda: model.set_classes(dict(lamp, key=('key', )), row), "['w']")
    refused(lambda: model.set_classes(dict(lamp, w=()), ExampleRows(dict(w=torch.ones(9)))), '96 values')
    refused(lambda: model.set_classes(dict(lamp, v=(), w=()), row), 'empty')
