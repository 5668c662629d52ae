"""The inferencer against mmseg's own way, for every kind of input and every mistake."""
import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from fixtures.text_models import head_config
from mmengine.config import Config, ConfigDict
from mmengine.runner.checkpoint import save_checkpoint
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS
from PIL import Image
from torch.nn import functional as F

from mmseg_mvp.apis import (
    OpenVocabInferencer,
    UnreadableImage,
)
from mmseg_mvp.apis.model_config import DEFAULT_CLIP, find_config, inference_pipeline, training_free
from mmseg_mvp.clip import load_clip, resolve_templates
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

ROOT = Path(__file__).parents[2]
MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')
MVP_SEG = str(ROOT / 'configs/mvp_seg/toy_zs.py')
LSEG = str(ROOT / 'configs/lseg/toy_zs.py')
NAMES = ['red house', 'tree', 'boat', 'picture']


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three toy pictures of 64 x 64, 48 x 64 and 64 x 64 pixels."""
    folder = tmp_path_factory.mktemp('pictures')
    for index, height in enumerate((64, 48, 64)):
        Image.fromarray(scene(index)[:height]).save(folder / f'{index}.png')
    return folder


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What tools/train.py would write for MVP-SEG on the toy world, with prompts of random values."""
    path, cfg = tmp_path_factory.mktemp('work') / 'iter_1.pth', Config.fromfile(MVP_SEG)
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    model.decode_head.classifier.prompts.contexts.data.normal_()
    save_checkpoint(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), str(path))
    return str(path)


@pytest.fixture(scope='module')
def learned(checkpoint):
    return OpenVocabInferencer(checkpoint, device='cpu')


def scene(index):
    return draw_scene(index, 'test', 64).image


def mmsegs_own(config, weights, path, classes=None, **test_cfg):
    """The sample that mmseg's inference_model gives for a file."""
    model = init_model(config, weights, device='cpu')
    model.test_cfg.update(test_cfg)
    if classes:
        model.set_classes(classes)
    return inference_model(model, str(path))


class TestAgainstMMSeg:

    def test_config_with_other_names(self, seg, folder):
        out = seg(folder / '1.png', classes='red house, tree, boat, picture')
        sample = mmsegs_own(MASKCLIP, None, folder / '1.png', NAMES)
        np.testing.assert_array_equal(out.label_map, sample.pred_sem_seg.data[0])
        assert len(np.unique(out.label_map)) > 1 and out.label_map.shape == (48, 64)
        assert out.classes == tuple(NAMES) and out.path == folder / '1.png'
        np.testing.assert_array_equal(out.image, scene(1)[:48])

    def test_checkpoint_alone_with_its_own_names(self, learned, checkpoint, folder):
        out, sample = learned(folder / '0.png'), mmsegs_own(MVP_SEG, checkpoint, folder / '0.png')
        np.testing.assert_array_equal(out.label_map, sample.pred_sem_seg.data[0])
        assert len(out.classes) == 20 and out.classes[0] == 'house'
        other = OpenVocabInferencer(MVP_SEG, device='cpu')(folder / '0.png')
        assert (out.label_map != other.label_map).any(), 'the checkpoint makes a difference'

    def test_scores_and_threshold(self, learned, checkpoint, folder):
        sample = mmsegs_own(MVP_SEG, checkpoint, folder / '1.png', NAMES, keep_logits=True)
        expected = sample.seg_logits.data.softmax(0)
        threshold = float(expected.amax(0).median())
        out = learned(folder / '1.png', NAMES, threshold=threshold)
        np.testing.assert_allclose(out.scores(), expected, atol=1e-5)
        np.testing.assert_allclose(out.score('boat'), expected[2], atol=1e-5)
        sure = (expected.amax(0) - threshold).abs() > 1e-5
        labels = expected.argmax(0).where(expected.amax(0) > threshold, 255)
        np.testing.assert_array_equal(out.label_map[sure], labels[sure])
        assert .3 < (out.label_map == 255).mean() < .7


def test_every_kind_of_input_gives_the_same(seg, folder):
    path = folder / '1.png'
    expected = seg(scene(1)[:48, :, ::-1], NAMES).label_map  # an array is BGR
    rgba = Image.fromarray(np.dstack([scene(1)[:48], np.full((48, 64), 255, np.uint8)]))
    for source in (str(path), path, Image.open(path), rgba):
        np.testing.assert_array_equal(seg(source, NAMES).label_map, expected)
    for sources in ([path], (np.asarray(Image.open(path))[..., ::-1], ), iter([path])):
        one, = seg(sources, NAMES)
        np.testing.assert_array_equal(one.label_map, expected)


@pytest.mark.parametrize('batch_size, sizes', [(1, [1, 1, 1, 1]), (2, [1, 1, 2]), (8, [1, 1, 2])])
def test_folder_and_batches_give_what_each_image_gives(seg, folder, batch_size, sizes):
    """Of sizes 64 x 64, 48 x 64, 64 x 64 and once more, only the last two can share a batch."""
    Image.fromarray(scene(3)).save(folder / '3.png')
    with mock.patch.object(seg.model, 'test_step', wraps=seg.model.test_step) as step:
        results = seg(folder, NAMES, batch_size=batch_size)
    assert [len(call.args[0]['inputs']) for call in step.call_args_list] == sizes
    assert [out.path.name for out in results] == ['0.png', '1.png', '2.png', '3.png']
    for out in results:
        np.testing.assert_array_equal(out.label_map, seg(out.path, NAMES).label_map)
    (folder / '3.png').unlink()


def test_stream_reads_no_further_than_it_must(seg, folder):
    results = seg.stream([folder / '0.png', folder / 'gone.png'], NAMES)
    assert next(results).path.name == '0.png'
    with pytest.raises(UnreadableImage, match=r'gone\.png'):
        next(results)


def test_turned_photo_is_segmented_upright(seg, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # hold it by 90 degrees clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(scene(0)[:48]))).save(tmp_path / 'a.png', exif=exif)
    upright = seg(scene(0)[:48, :, ::-1], NAMES)
    out = seg(tmp_path / 'a.png', NAMES)
    np.testing.assert_array_equal(out.label_map, upright.label_map)
    np.testing.assert_array_equal(out.image, scene(0)[:48])


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (40, 1), (300, 3)])
def test_tiny_and_narrow_images(seg, shape):
    assert seg(np.zeros((*shape, 3), np.uint8), NAMES).label_map.shape == shape


def test_image_that_can_not_be_resized_is_one_sentence(seg):
    with pytest.raises(UnreadableImage, match='20000 x 1 pixels cannot be resized'):
        seg(np.zeros((1, 20000, 3), np.uint8), NAMES)


class TestClasses:

    def test_text_is_encoded_once_a_list(self, seg, folder):
        prompts = seg.model.decode_head.classifier.prompts
        first, second = ['key', 'cup, lamp'], 'key, chair'
        with mock.patch.object(prompts, 'forward', wraps=prompts.forward) as encode:
            for classes in (first, first, second, first, second):
                seg(folder, classes)
        assert [call.args[0] for call in encode.call_args_list] == [['key', 'cup', 'lamp'], ['key', 'chair']]

    def test_string_list_file_and_synonyms(self, seg, folder, tmp_path):
        (tmp_path / 'names.txt').write_text('red house\ntree\nboat\npicture  # the rest\n')
        expected = seg(folder / '0.png', NAMES)
        for classes in ('red house, tree, boat, picture', tmp_path / 'names.txt', str(tmp_path / 'names.txt')):
            out = seg(folder / '0.png', classes)
            assert out.classes == expected.classes
            np.testing.assert_array_equal(out.label_map, expected.label_map)
        out = seg(folder / '0.png', ['home = red house', 'tree', 'boat', 'rest = picture'])
        assert out.classes == ('home', 'tree', 'boat', 'rest')
        np.testing.assert_array_equal(out.label_map, expected.label_map)
        joined = ['red house, tree', 'boat', 'picture']
        out, sample = seg(folder / '0.png', joined), mmsegs_own(MASKCLIP, None, folder / '0.png', joined)
        assert out.classes == ('red house', 'boat', 'picture')
        np.testing.assert_array_equal(out.label_map, sample.pred_sem_seg.data[0])

    def test_the_configs_own_come_back(self, seg, folder):
        before = seg(folder / '0.png').label_map
        seg(folder / '0.png', NAMES)
        again = seg(folder / '0.png')
        assert len(again.classes) == 20
        np.testing.assert_array_equal(again.label_map, before)

    def test_order_is_the_calls(self, seg, folder):
        forth, back = seg(folder / '0.png', NAMES), seg(folder / '0.png', NAMES[::-1])
        np.testing.assert_array_equal(3 - back.label_map, forth.label_map)

    @pytest.mark.parametrize('classes, words', [
        ('', 'No class'), ([], 'No class'), (['tree'], 'A single class'), ('tree', 'at least two class names'),
        ('tree, tree', "['tree'] stand more than once"), ('tree, dragon', "no vector for 'dragon'"),
        ('nowhere.txt', 'nowhere.txt'), ([1, 2], 'int'),
    ])
    def test_refused_in_a_sentence(self, seg, folder, classes, words):
        before = seg(folder / '0.png', NAMES).label_map
        with pytest.raises(UserError) as error:
            seg(folder / '0.png', classes)
        assert words in str(error.value) and '\n' not in str(error.value)
        np.testing.assert_array_equal(seg(folder / '0.png', NAMES).label_map, before)

    def test_same_words_under_two_names_warn(self, seg, folder):
        with mock.patch('mmseg_mvp.models.text.text_classifier.print_log') as log:
            seg(folder / '0.png', 'tree, Tree, boat')
        assert "{'tree': ['tree', 'Tree']}" in log.call_args.args[0]

    def test_words_that_the_toy_never_read_are_told_in_any_script(self, seg, folder):
        with pytest.raises(UserError, match='no vector for \'犬\''):
            seg(folder / '0.png', 'tree, 犬')

    def test_threshold_that_is_none(self, seg, folder):
        for threshold in (-.1, 50, float('nan')):
            with pytest.raises(UserError, match='between 0 and 1'):
                seg(folder / '0.png', NAMES, threshold=threshold)


class TestAnyCLIP:

    def test_vits_take_naclip_and_attention_pools_maskclip(self, tiny_rn, tiny_vit):
        image = torch.randn(1, 3, 64, 96)

        def features(clip, **backbone):
            cfg, _ = find_config(None, None, clip)
            cfg.model.backbone.update(backbone)
            return OpenVocabInferencer(cfg, device='cpu').model.backbone(image)[0]

        assert torch.equal(features(tiny_rn), features(tiny_rn, dense='maskclip'))
        assert torch.equal(features(tiny_vit), features(tiny_vit, dense='naclip'))
        assert not torch.allclose(features(tiny_vit), features(tiny_vit, dense='maskclip'))

    def test_a_model_without_a_config(self, tiny_rn):
        """Any script and 3000 names, here with random weights; there are no classes but those of the call."""
        seg = OpenVocabInferencer(clip=tiny_rn, device='cpu')
        assert seg.model.decode_head.classifier.prompts.templates == ('a photo of a {}.', )
        out = seg(scene(0), '犬, кот, δέντρο, tree')
        assert out.label_map.shape == (64, 64) and out.classes[1] == 'кот'
        many = seg(scene(0), [f'thing {index}' for index in range(3000)])
        assert many.unknown == 65535 and many.label_map.max() > 255
        with pytest.raises(UserError, match='No classes were given'):
            seg(scene(0))

    @pytest.mark.parametrize('toy, dense', [('toy-rn', 'maskclip'), ('toy-vit', 'naclip')])
    def test_toy_clips_have_a_config_of_their_own(self, folder, toy, dense):
        clip = dict(model=toy, weights='toy')
        seg = OpenVocabInferencer(clip=clip, device='cpu')
        own = Config.fromfile(MASKCLIP)
        own.model.clip = clip
        own.model.backbone.dense = dense
        own.model.decode_head.prompts.templates = 'single'
        sample = mmsegs_own(own, None, folder / '1.png', NAMES)
        np.testing.assert_array_equal(seg(folder / '1.png', NAMES).label_map, sample.pred_sem_seg.data[0])

    def test_default_is_vit(self):
        assert training_free(DEFAULT_CLIP).model.clip == dict(model='ViT-B-16-quickgelu', weights='openai')

    def test_clip_takes_the_place_of_the_configs(self, tiny_rn):
        cfg, _ = find_config(MVP_SEG, None, dict(tiny_rn, weights=None))
        assert cfg.model.clip == dict(tiny_rn, weights=None)
        cfg, _ = find_config(ROOT / 'configs/mvp_seg_plus/toy_zs.py', None, dict(tiny_rn, weights=None))
        assert cfg.model.teacher.clip == dict(tiny_rn, weights=None)
        with pytest.raises(UserError, match='EncoderDecoder of the config has no clip'):
            find_config(dict(model=dict(type='EncoderDecoder')), None, tiny_rn)


class TestExplanation:

    def test_presence_and_views_are_those_of_the_head(self, learned, folder):
        """g = sigmoid(sum(m_0 softmax(gamma m_0)) / tau), written out; views resized by torch."""
        out = learned(folder / '0.png', NAMES)
        learned(folder / '0.png', 'key, cup')  # what was asked last does not matter
        presence, views = out.presence, out.views('boat')
        learned.model.set_classes(NAMES)
        mean, std = learned.model.data_preprocessor.mean, learned.model.data_preprocessor.std
        image = (torch.tensor(scene(0)).permute(2, 0, 1) - mean) / std
        with torch.no_grad():
            maps = learned.model.decode_head.view_maps(learned.model.extract_feat(image[None]))[0]
        m_0, gpr = maps[0].flatten(1), learned.model.decode_head.gpr
        expected = ((m_0 * (gpr.gamma * m_0).softmax(1)).sum(1) / gpr.temperature).sigmoid()
        np.testing.assert_allclose(presence, expected.detach(), rtol=1e-4)
        resized = F.interpolate(maps[1:, 2][None], size=(64, 64), mode='bilinear')[0]
        assert views.shape == (3, 64, 64)
        np.testing.assert_allclose(views, resized, atol=1e-5)

    def test_maskclip_has_one_view_and_no_presence(self, seg, folder):
        out = seg(folder / '1.png', NAMES)
        assert seg.can_explain and out.presence is None and out.views('tree').shape == (1, 48, 64)

    def test_each_class_has_a_row_below_the_photo(self, seg, folder):
        """Rows are of equal height; a class without a pixel has one, too."""
        heights = [len(seg(folder / '1.png', names).draw_views()) for names in ('tree, boat', 'tree, boat, cup', NAMES)]
        assert heights[2] - heights[1] == heights[1] - heights[0] > 90
        out = seg(folder / '1.png', NAMES)
        out.label_map = np.full((48, 64), out.unknown)
        assert not out.present() and len(out.draw_views()) >= heights[2]

    def test_lseg_has_neither(self, folder):
        seg = OpenVocabInferencer(LSEG, device='cpu')
        out = seg(folder / '1.png', 'tree, boat')
        assert out.label_map.shape == (48, 64) and out.presence is None and not seg.can_explain
        with pytest.raises(UserError, match='has no map per prompt'):
            out.views('tree')
        with pytest.raises(UserError, match='has no map per prompt'):
            out.draw_views()
        assert [one.name for one in out.reasons()] and out.draw_reasons(['boat']).ndim == 3


class TestFeatures:

    def test_products_of_features_and_names_are_the_maps_of_the_explanation(self, seg, folder):
        features, text = seg.features(folder / '1.png'), seg.embed(NAMES)
        assert features.shape == (96, 6, 8) and text.shape == (4, 96)  # 48 x 64 pixels, stride 8
        for norms in (features.norm(dim=0), text.norm(dim=1)):
            assert torch.allclose(norms, torch.ones_like(norms))
        maps = seg(folder / '1.png', NAMES)._explain().maps[0]
        assert torch.allclose(torch.einsum('nd,dhw->nhw', text, features), maps, atol=1e-5)

    def test_names_are_encoded_as_by_open_clip(self, seg):
        found, clip = seg.embed('tree; red house; boat'), load_clip('toy-rn', 'toy')
        expected = []
        for name in ('tree', 'red house', 'boat'):
            tokens = clip.tokenizer([template.format(name) for template in resolve_templates('maskclip')])
            sentences = F.normalize(clip.model.encode_text(tokens), dim=1)
            expected.append(F.normalize(sentences.mean(dim=0), dim=0))
        assert torch.allclose(found, torch.stack(expected), atol=1e-5)
        assert torch.allclose(seg.embed(['boat']), found[2:], atol=1e-6)  # a single name too

    def test_synonyms_have_the_mean_and_views_the_sum(self, seg, learned):
        one, other = seg.embed(['tree', 'boat'])
        assert torch.allclose(seg.embed(['tree, boat'])[0], F.normalize(one + other, dim=0), atol=1e-6)
        learned.model.set_classes(NAMES)
        views = learned.model.decode_head.classifier.embeddings()[1:]  # without the global prompt
        assert torch.allclose(learned.embed(NAMES), F.normalize(views.sum(dim=0), dim=1), atol=1e-6)

    def test_the_classes_of_calls_stay(self, seg, folder):
        seg(folder / '0.png', NAMES)
        seg.embed('key, cup')
        assert list(seg.model.decode_head.classifier.test_vocabulary) == NAMES

    def test_windows_are_averaged_and_padding_is_kept(self):
        model = OpenVocabInferencer(MASKCLIP, device='cpu').model
        images = torch.randn(2, 3, 41, 64)
        left, right = model.dense_features(images[..., :48]), model.dense_features(images[..., 16:])
        model.test_cfg = ConfigDict(mode='slide', crop_size=(64, 48), stride=(64, 16))
        found = model.dense_features(images)
        assert found.shape == (2, 96, 6, 8)
        middle = F.normalize(left[..., 2:] + right[..., :4], dim=1)
        assert torch.allclose(found, torch.cat([left[..., :2], middle, right[..., 4:]], dim=3), atol=1e-5)

    @pytest.mark.parametrize('image', [None, 3, 'nowhere.png', [], ['nowhere.png'], str(ROOT)])
    def test_images_that_are_none_are_one_sentence(self, seg, image):
        refused(lambda: seg.features(image))

    @pytest.mark.parametrize('names', [None, 3, '', [], ['tree', None], 'x' * 5000])
    def test_names_that_are_none_are_one_sentence(self, seg, names):
        refused(lambda: seg.embed(names))

    def test_lseg_has_names_but_no_features_of_clip(self, folder):
        seg = OpenVocabInferencer(LSEG, device='cpu')
        assert seg.embed('tree, boat').shape[0] == 2
        refused(lambda: seg.features(folder / '0.png'), 'OpenVocabEncoderDecoder with LSegHead has no features of CLIP')


class TestModel:

    @pytest.mark.parametrize('arguments, words', [
        (dict(model='nowhere.py'), 'config nowhere.py does not exist'),
        (dict(model='maskclip/toy_sz'), 'config maskclip/toy_sz does not exist: did you mean maskclip/toy_zs'),
        (dict(model='nowhere.pth'), 'checkpoint nowhere.pth does not exist'),
        (dict(model=MASKCLIP, weights='nowhere.pth'), 'checkpoint nowhere.pth does not exist'),
        (dict(model='a.pth', weights='b.pth'), 'give one checkpoint'),
        (dict(model=MASKCLIP, device='cuda:77'), "Device 'cuda:77' is not available here"),
        (dict(model=MASKCLIP, device='gpu'), "Device 'gpu' is not available here"),
        (dict(model=MASKCLIP, max_pixels=0), 'at least one pixel'),
    ])
    def test_refused_in_a_sentence(self, arguments, words):
        with pytest.raises(UserError) as error:
            OpenVocabInferencer(**arguments)
        assert words in str(error.value) and '\n' not in str(error.value)

    def test_a_shipped_config_by_its_short_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        cfg, checkpoint = find_config('maskclip/toy_zs', None, None)
        assert (cfg.filename, checkpoint) == (MASKCLIP, None)

    def test_checkpoint_without_a_config(self, tmp_path):
        save_checkpoint(dict(state_dict={}, meta={}), str(tmp_path / 'bare.pth'))
        with pytest.raises(UserError, match=r'bare\.pth has no config'):
            OpenVocabInferencer(str(tmp_path / 'bare.pth'))

    def test_checkpoint_of_another_model(self, tmp_path):
        torch.save(dict(state_dict={'fc.weight': torch.zeros(1)}), tmp_path / 'other.pth')
        with pytest.raises(UserError, match='no entry for this model'):
            OpenVocabInferencer(MVP_SEG, str(tmp_path / 'other.pth'), device='cpu')

    def test_what_is_untrained_is_told_and_what_never_trains_is_not(self):
        for config, told in ((MVP_SEG, True), (MASKCLIP, False)):
            with mock.patch('mmseg_mvp.apis.model_config.print_log') as log:
                OpenVocabInferencer(config, device='cpu')
            assert log.called == told
        assert not told

    def test_segmentor_without_text_is_refused(self):
        head = dict(type='FCNHead', in_channels=64, channels=4, num_classes=3, in_index=3)
        cfg = dict(model=dict(type='EncoderDecoder', backbone=dict(type='PyramidBackbone'), decode_head=head),
                   test_pipeline=[dict(type='PackSegInputs')])
        with pytest.raises(UserError, match='EncoderDecoder with FCNHead does not classify by text'):
            OpenVocabInferencer(cfg, device='cpu')

    def test_sync_bn_gives_way_and_the_users_config_stays(self, tiny_rn, folder):
        head = head_config(dict(tiny_rn, weights=None), norm_cfg=dict(type='SyncBN'))
        model = dict(type='OpenVocabEncoderDecoder', backbone=dict(type='PyramidBackbone'), decode_head=head,
                     data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(64, 64)))
        cfg = Config(dict(model=model, test_pipeline=[dict(type='PackSegInputs')]))
        assert OpenVocabInferencer(cfg, device='cpu')(folder / '1.png').label_map.shape == (48, 64)
        assert cfg.model.decode_head.norm_cfg.type == 'SyncBN'


def test_pipelines_lose_what_reads_files_and_lists():
    steps = inference_pipeline(Config.fromfile(ROOT / 'configs/lseg/pascal5i_r101.py')).transforms
    assert [type(step).__name__ for step in steps] == ['LoadImageFromNDArray', 'Resize', 'PackSegInputs']
    loader = dict(dataset=dict(pipeline=[dict(type='LoadCheckedImage'), dict(type='mmseg.PackSegInputs')]))
    steps = inference_pipeline(Config(dict(test_dataloader=loader))).transforms
    assert [type(step).__name__ for step in steps] == ['LoadImageFromNDArray', 'PackSegInputs']
    with pytest.raises(UserError, match='neither a test_pipeline nor a test_dataloader'):
        inference_pipeline(Config(dict(model=dict())))


IMAGE = np.zeros((48, 64, 3), np.uint8)


NAN = math.nan


LONG = 'x' * 5000


@pytest.mark.parametrize('arguments', [
    *[dict(threshold=value) for value in ('a', NAN, -1, 2, [.5], True)],
    *[dict(batch_size=value) for value in (0, -1, 1.5, 'a', None, NAN)],
    *[dict(classes=value) for value in (3, b'tree, boat', {'tree', 'boat'}, {'tree': None}, ['tree', None], True, 1.5,
                                        {}, 'tree\nboat, cup', ['\0', 'tree'])],
    *[dict(inputs=value) for value in (None, 3, b'x.png', '', '\0', LONG, [None], [3], IMAGE * 1j, IMAGE[:0],
                                       IMAGE[None], torch.zeros(3, 4, 4), [LONG], {'a': 1})],
])
def test_calls(seg, arguments):
    refused(lambda: seg(**dict(dict(inputs=IMAGE, classes='tree, boat'), **arguments)))


@pytest.mark.parametrize('inputs', [[], (), iter([]), np.zeros((0, 4, 4, 3), np.uint8)])
def test_no_images_are_told(seg, inputs):
    refused(lambda: seg(inputs, 'tree, boat'))
    if not isinstance(inputs, np.ndarray):
        refused(lambda: seg(inputs, 'tree, boat'), 'the list of images is empty', 'at least one')


@pytest.mark.parametrize('arguments', [
    *[dict(max_pixels=value) for value in (-1, 0, 'a', None, 1.5, NAN)],
    *[dict(clip=value) for value in ({}, dict(model=3), dict(model=None), dict(model='toy-rn', foo=1), 'toy-rn', 3)],
    *[dict(device=value) for value in ('', 'cuda:999', 3.5, 'cpu:x')],
    *[dict(model=value) for value in (3, '', LONG, LONG + '.py', b'x.py', [MASKCLIP])],
    *[dict(weights=value) for value in (3, '', LONG)],
])
def test_inferencers_built_with(arguments):
    refused(lambda: OpenVocabInferencer(**dict(dict(model=MASKCLIP, device='cpu'), **arguments)))


class TestRefinement:

    def test_results_are_those_of_the_config(self, folder):
        """Label map, scores and threshold, by the argument and by ``test_cfg.refine``."""
        setting = dict(type='PAMR', iterations=3, dilations=(1, 4))
        cfg = Config.fromfile(MASKCLIP)
        cfg.model.test_cfg = dict(mode='whole', refine=setting)
        plain, *sharp = (OpenVocabInferencer(*args, device='cpu', **kwargs)(folder / '1.png', NAMES, threshold=0.4)
                         for args, kwargs in (([MASKCLIP], {}), ([MASKCLIP], dict(refine=setting)), ([cfg], {})))
        assert (sharp[0].label_map != plain.label_map).any()
        for out in sharp:
            assert np.array_equal(out.label_map, sharp[0].label_map)
            scores = out.scores()
            known = out.label_map != out.unknown
            assert np.array_equal(known, scores.max(axis=0) >= 0.4)
            assert np.array_equal(out.label_map[known], scores.argmax(axis=0)[known])
            np.testing.assert_allclose(out.score('boat'), scores[2], atol=1e-5)

    def test_a_wrong_setting_is_told_before_a_model_is_built(self):
        refused(lambda: OpenVocabInferencer('missing.py', refine='crf'), "'crf'", "'pamr'")
