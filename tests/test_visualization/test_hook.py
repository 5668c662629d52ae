"""The hook on fake batches: which images it draws, from where, and under which names."""
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmengine.visualization import BaseVisBackend, Visualizer
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmseg_mvp.engine import NoSyncModelWrapper
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import CLIPEncoderDecoder
from mmseg_mvp.models.utils.class_scores import ClassScores
from mmseg_mvp.models.utils.explanation import Explanation
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.models.utils.reasons import reasons
from mmseg_mvp.visualization import SideBySideVisualizationHook, draw_presence, side_by_side
from mmseg_mvp.visualization.class_rows import ClassRow, draw_class_rows
from mmseg_mvp.visualization.hook import read_image

METAINFO = dict(classes=('house', 'bird'), palette=[[200, 10, 10], [10, 10, 200]])
SHAPE = (40, 60)


def make_sample(path=None) -> SegDataSample:
    labels = torch.arange(SHAPE[1]).gt(30).long().expand(1, *SHAPE)
    sample = SegDataSample(metainfo=dict(ori_shape=SHAPE, **({'img_path': str(path)} if path else {})))
    sample.pred_sem_seg = PixelData(data=labels)
    sample.gt_sem_seg = PixelData(data=1 - labels)
    return sample


@pytest.fixture
def runner():
    messages = []
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=METAINFO))
    return SimpleNamespace(test_dataloader=loader, val_dataloader=loader, messages=messages, model=nn.Identity(),
                           logger=SimpleNamespace(info=messages.append))


@pytest.fixture
def bgr():
    """(3, h, w) uint8, BGR, as the pipelines hand it over."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, *SHAPE), dtype=np.uint8))


def test_every_nth_image_of_all_batches_is_drawn(runner, bgr, tmp_path):
    hook = SideBySideVisualizationHook(out_dir=str(tmp_path / 'new'), interval=2)
    hook.before_test(runner)
    for batch in range(2):
        samples = [make_sample(f'nowhere/{batch}_{i}.jpg') for i in range(3)]
        hook.after_test_iter(runner, batch, dict(inputs=[bgr] * 3), samples)
    hook.after_test(runner)
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['0_0.png', '0_2.png', '1_1.png']
    assert len(runner.messages) == 1 and str(tmp_path / 'new') in runner.messages[0]


def test_picture_is_the_page_of_the_batch(runner, bgr, tmp_path):
    hook = SideBySideVisualizationHook(out_dir=str(tmp_path), unseen=['bird'])
    hook.before_val(runner)
    sample = make_sample()
    hook.after_val_iter(runner, 0, dict(inputs=[bgr]), [sample])
    rgb = bgr.numpy()[::-1].transpose(1, 2, 0)
    expected = side_by_side(np.ascontiguousarray(rgb), sample.pred_sem_seg.data[0].numpy(),
                            sample.gt_sem_seg.data[0].numpy(), METAINFO['classes'], METAINFO['palette'], ['bird'])
    assert np.array_equal(np.asarray(Image.open(tmp_path / '000000.png')), expected)


def test_file_is_preferred_to_the_resized_batch(bgr, tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), bgr.numpy().transpose(1, 2, 0))
    image = read_image(make_sample(path), [torch.zeros(3, 8, 8, dtype=torch.uint8)], 0)
    assert np.array_equal(image, bgr.numpy()[::-1].transpose(1, 2, 0))


def test_batch_pixels_come_in_the_size_of_the_labels(bgr):
    small = bgr[:, ::2, ::2]
    assert read_image(make_sample(), [small, small], 1).shape == (*SHAPE, 3)


def test_first_augmentation_is_drawn_under_tta(bgr):
    other = torch.zeros_like(bgr)
    image = read_image(make_sample(), [[other, bgr], [other, other]], 1)
    assert np.array_equal(image, bgr.numpy()[::-1].transpose(1, 2, 0))


def test_images_of_equal_stems_keep_their_folders(runner, bgr, tmp_path):
    infos = [dict(img_path=f'data/{folder}/000.jpg') for folder in 'ab']
    runner.test_dataloader.dataset = Infos(infos)
    hook = SideBySideVisualizationHook(out_dir=str(tmp_path))
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=[bgr] * 2), [make_sample(info['img_path']) for info in infos])
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.png')) == [
        'a/000.png', 'b/000.png']


class Infos:
    """A data set that has a list of images only."""
    metainfo = METAINFO

    def __init__(self, infos):
        self.infos = infos

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


def test_unseen_may_be_a_vocabulary():
    assert 'sheep' in SideBySideVisualizationHook(unseen='voc20:unseen').unseen
    with pytest.raises(UserError):
        SideBySideVisualizationHook(unseen='nobody:unseen')


def test_an_episode_is_drawn_with_its_class(runner, bgr, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr('mmseg_mvp.visualization.hook.side_by_side',
                        lambda *args: drawn.append(args[3:5]) or np.zeros((2, 2, 3), np.uint8))
    samples = [make_sample('a/1.jpg'), make_sample('a/1.jpg'), make_sample('a/2.jpg')]
    for sample, names in zip(samples, (['others', 'red house'], ['others', 'bird'], ['tree', 'house', 'bird'])):
        sample.set_metainfo(dict(vocabulary={name: (name,) for name in names}))
    hook = SideBySideVisualizationHook(out_dir=str(tmp_path))
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=[bgr] * 3), samples)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['1__bird.png', '1__red_house.png', '2.png']
    assert drawn[0] == (('others', 'red house'), METAINFO['palette']) and drawn[2][0] == ('tree', 'house', 'bird')
    assert len(drawn[2][1]) == 3


class RecordingBackend(BaseVisBackend):
    """Stands for any backend of mmengine, TensorBoard's or wandb's."""

    def _init_env(self):
        self.images = []

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        self.images.append((name, image, step))


@pytest.fixture
def backends(runner, tmp_path):
    """The runner's visualizer has mmengine's backends: to files, to TensorBoard if that is installed, and to memory."""
    recording = RecordingBackend(str(tmp_path))
    recording._init_env()
    kinds = ['LocalVisBackend'] + ['TensorboardVisBackend'] * bool(find_spec('tensorboard'))
    runner.visualizer = Visualizer(vis_backends=[*(dict(type=kind) for kind in kinds), recording],
                                   save_dir=str(tmp_path))
    runner.iter = 300
    return recording


def test_backends_get_the_pictures(runner, bgr, tmp_path, backends):
    hook = SideBySideVisualizationHook(draw=True)
    hook.before_val(runner)
    hook.after_val_iter(runner, 0, dict(inputs=[bgr]), [make_sample('a/b.jpg')])
    hook.after_test_iter(runner, 0, dict(inputs=[bgr]), [make_sample('a/b.jpg')])
    (name, picture, step), (test_name, _, _) = backends.images
    assert (name, test_name, step) == ('val_b', 'test_b', 300)
    rgb, sample = np.ascontiguousarray(bgr.numpy()[::-1].transpose(1, 2, 0)), make_sample()
    expected = side_by_side(rgb, sample.pred_sem_seg.data[0].numpy(), sample.gt_sem_seg.data[0].numpy(),
                            METAINFO['classes'], METAINFO['palette'])
    assert np.array_equal(picture, expected)
    local = Image.open(tmp_path / 'vis_data' / 'vis_image' / 'val_b_300.png')
    assert np.array_equal(np.asarray(local), expected)
    if find_spec('tensorboard'):
        assert list((tmp_path / 'vis_data').glob('events.out.tfevents*'))


class Explaining(CLIPEncoderDecoder):
    """Sees house above and bird below, under a global prompt and two more."""

    def __init__(self):
        nn.Module.__init__(self)

    def data_preprocessor(self, data, training):
        assert not training
        return dict(inputs=torch.stack(data['inputs']).float(), data_samples=data['data_samples'])

    def explain(self, inputs, data_samples):
        assert inputs.shape == (1, 3, *SHAPE) and data_samples[0].ori_shape == SHAPE
        maps = torch.arange(3 * 2 * 2.).view(3, 2, 2, 1)
        rows, columns = torch.eye(2).repeat_interleave(SHAPE[0] // 2, 0), torch.ones(SHAPE[1], 1)
        return [Explanation(maps, rows, columns, True, torch.tensor([0.9, 0.2]))]


@pytest.mark.parametrize('wrap', [lambda model: model, NoSyncModelWrapper])
def test_predictions_are_explained_on_request(runner, bgr, tmp_path, backends, wrap):
    runner.model = wrap(Explaining())
    hook = SideBySideVisualizationHook(out_dir=str(tmp_path / 'new'), draw=True, explain=True)
    hook.before_test(runner)
    sample = make_sample('a/b.jpg')
    sample.set_data(dict(low_res_logits=LowResLogits(
        logits=torch.tensor([[[3., 0.]], [[0., 1.]]]), rows=torch.ones(SHAPE[0], 1),
        columns=torch.eye(2).repeat_interleave(SHAPE[1] // 2, 0))))
    hook.after_test_iter(runner, 0, dict(inputs=[bgr]), [sample])
    kinds = ['', '__overlay', '__presence', '__classes']
    assert [name for name, _, _ in backends.images] == [f'test_b{kind}' for kind in kinds]
    pictures = {name: picture for name, picture, _ in backends.images}
    assert np.array_equal(pictures['test_b__presence'], draw_presence(METAINFO['classes'], [0.9, 0.2]))
    rgb, labels = np.ascontiguousarray(bgr.numpy()[::-1].transpose(1, 2, 0)), sample.pred_sem_seg.data[0].numpy()
    scores = ClassScores(sample.low_res_logits)
    maps = np.array([[[2.], [3.]], [[6.], [7.]], [[10.], [11.]]]).repeat(SHAPE[0] // 2, 1).repeat(SHAPE[1], 2)
    winners = np.where(np.arange(SHAPE[1]) > 30, 2, -1)[None].repeat(SHAPE[0], 0)  # 10 and 11 are above 6 and 7
    house, bird = reasons(labels, METAINFO['classes'], scores, np.array([0.9, 0.2]))
    rows = [ClassRow(house, METAINFO['palette'][0], scores.maps([0])[0].numpy(), maps - [[[2.]]] * 3,
                     np.where(winners < 0, 2, -1)),
            ClassRow(bird, METAINFO['palette'][1], scores.maps([1])[0].numpy(), maps, winners)]
    expected = draw_class_rows(rgb, rows, ['global prompt', 'prompt 1', 'prompt 2'])
    assert np.array_equal(pictures['test_b__classes'], expected)
    assert {path.stem for path in (tmp_path / 'new').iterdir()} == {f'b{kind}' for kind in kinds}


def test_of_a_model_without_prompts_or_under_tta_there_is_the_overlay_only(runner, bgr, backends):
    runner.model = nn.Identity()
    hook = SideBySideVisualizationHook(draw=True, explain=True)
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=[[bgr, bgr]]), [make_sample('a/b.jpg'), make_sample('a/c.jpg')])
    assert [name for name, _, _ in backends.images] == ['test_b', 'test_b__overlay', 'test_c', 'test_c__overlay']


def test_nothing_is_drawn_where_nobody_wants_it(bgr):
    hook = SideBySideVisualizationHook(explain=True)
    hook.after_test_iter(SimpleNamespace(), 0, dict(inputs=[bgr]), [make_sample()])
