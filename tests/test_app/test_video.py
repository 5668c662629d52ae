"""A video in, a video of its frames under their labels out."""
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_mvp.apis import OpenVocabInferencer, UnreadableImage
from mmseg_mvp.app.video import frame_picture, open_writer, segment_video
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization import draw_overlay

ROOT = Path(__file__).parents[2]
NAMES = 'red house, tree, boat, picture'


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(ROOT / 'configs/maskclip/toy_zs.py', device='cpu')


def write_video(path, count, fps=10., size=(64, 80)):
    """``count`` toy pictures on grey, as an MPEG-4 video of frames (H, W)."""
    writer = open_writer(path, fps, size)
    for index in range(count):
        frame = np.full((*size, 3), 128, np.uint8)
        frame[:64, :64] = draw_scene(index, 'test', 64).image[..., ::-1]
        writer.write(frame)
    writer.release()
    return path


def read_video(path):
    """All frames, (N, H, W, 3) BGR, and the frames a second."""
    reader = cv2.VideoCapture(str(path))
    frames = []
    while (read := reader.read())[0]:
        frames.append(read[1])
    return np.stack(frames), reader.get(cv2.CAP_PROP_FPS)


def test_video_of_overlays(seg, tmp_path):
    """As many frames, as many a second, and each shows what the inferencer says of the frame as it was stored."""
    source = write_video(tmp_path / 'a.mp4', 5, fps=12.5)
    assert segment_video(seg, source, tmp_path / 'new' / 'b.mp4', NAMES) == 5
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['b.mp4']
    (before, _), (after, fps) = read_video(source), read_video(tmp_path / 'new' / 'b.mp4')
    assert len(after) == 5 and fps == pytest.approx(12.5)
    overlays = []
    for frame in before:
        out = seg(frame, NAMES)
        overlays.append(draw_overlay(frame[..., ::-1], out.label_map, out.classes)[:400, :320, ::-1].astype(int))
    for index, shown in enumerate(after[:, :400, :320]):
        differences = [np.abs(overlay - shown).mean() for overlay in overlays]
        assert differences[index] == min(differences) < 10, 'lossy, but the same picture'


def test_frames_have_one_size_whatever_is_in_them(seg):
    frames = [draw_scene(index, 'test', 64).image for index in range(3)]
    pictures = [frame_picture(seg(frame, NAMES)) for frame in frames]
    assert len({picture.shape for picture in pictures}) == 1
    height, width = pictures[0].shape[:2]
    assert height > 320 and height % 2 == width % 2 == 0
    below = [picture[320:] for picture in pictures]
    np.testing.assert_array_equal(below[0], below[1])  # the legend of all classes
    blank = seg(frames[0], NAMES, threshold=1.)
    assert frame_picture(blank).shape == pictures[0].shape


def test_legend_of_many_classes_is_left_out(seg):
    out = seg(draw_scene(0, 'test', 64).image, [f'{name} = tree' for name in range(41)])
    assert frame_picture(out).shape == (320, 320, 3)


@pytest.mark.parametrize('content', [b'', b'no video at all', 'half'])
def test_video_without_frames_is_one_sentence(seg, tmp_path, content):
    path = write_video(tmp_path / 'a.mp4', 3)
    path.write_bytes(path.read_bytes()[:200] if content == 'half' else content)
    with pytest.raises(UnreadableImage, match=r'a\.mp4 has no frame that OpenCV can read') as error:
        segment_video(seg, path, tmp_path / 'b.mp4', NAMES)
    assert '\n' not in str(error.value) and not (tmp_path / 'b.mp4').exists()


def test_nothing_is_left_of_a_run_that_was_stopped(seg, tmp_path, monkeypatch):
    source = write_video(tmp_path / 'a.mp4', 3)
    calls = []

    def stopped(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return seg(*args)

    with pytest.raises(KeyboardInterrupt):
        segment_video(stopped, source, tmp_path / 'b.mp4', NAMES)
    assert len(calls) == 3 and [path.name for path in tmp_path.iterdir()] == ['a.mp4']


def test_nothing_is_overwritten_unasked(seg, tmp_path):
    source = write_video(tmp_path / 'a.mp4', 1)
    (tmp_path / 'b.mp4').write_text('mine')
    with pytest.raises(UserError, match='exists already'):
        segment_video(seg, source, tmp_path / 'b.mp4', NAMES)
    assert segment_video(seg, source, tmp_path / 'b.mp4', NAMES, overwrite=True) == 1
    assert len(read_video(tmp_path / 'b.mp4')[0]) == 1


def test_writer_that_can_not_write_says_so(tmp_path):
    with pytest.raises(UserError, match='can\'t write an MPEG-4 video of 4 x 2 pixels'):
        open_writer(tmp_path / 'nowhere' / 'a.mp4', 25., (2, 4, 3))
