"""A video in, a video of its frames under their labels out. OpenCV and Chromium read the results."""
import resource
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fixtures.browser import chromium
from fixtures.lanes import VIDEO_READER

from mmseg_mvp.apis import OpenVocabInferencer, UnreadableImage
from mmseg_mvp.app import video
from mmseg_mvp.app.progress import FileProgress
from mmseg_mvp.app.video import count_frames, frame_picture, segment_video
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization import draw_overlay, write_note

ROOT = Path(__file__).parents[2]
NAMES = 'red house, tree, boat, picture'


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(ROOT / 'configs/maskclip/toy_zs.py', device='cpu')


def write_video(path, count, fps=10., size=(64, 80)):
    """``count`` toy pictures on grey, as an MPEG-4 video of frames (H, W), by OpenCV."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, size[::-1])
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
        overlay = draw_overlay(frame[..., ::-1], out.label_map, out.classes)
        overlays.append(write_note(overlay, out.note)[:400, :320, ::-1].astype(int))
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


PLAYLIST = b'#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n'


@pytest.mark.parametrize('content', [b'', b'no video at all', 'half', PLAYLIST])
def test_video_without_frames_is_one_sentence(seg, tmp_path, content):
    path = write_video(tmp_path / 'a.mp4', 3)
    path.write_bytes(path.read_bytes()[:200] if content == 'half' else content)
    assert count_frames(path) == 1
    with pytest.raises(UnreadableImage, match=r'a\.mp4 has no frame that FFmpeg can read') as error:
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


class Copy:
    """Stands for an inferencer and for its result: the frame as it is."""
    classes = colours = ()

    def __call__(self, frame, classes, threshold):
        self.frame, self.label_map = frame, frame[..., 0]
        return self

    def draw(self):
        factor = -(-320 // min(self.frame.shape[:2]))
        return np.kron(self.frame[..., ::-1], np.ones((factor, factor, 1), np.uint8))


def encode(path, times, size=(64, 80), sound=None, codec='libx264', aspect=1):
    """A film of PyAV whose frames (H, W) are red, green, blue, red, ... at some times in s, with a second of sound."""
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(codec, 25, width=size[1], height=size[0], pix_fmt='yuv420p')
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = aspect
        audio = sound and file.add_stream(sound, 48000, layout='mono')
        for index, time in enumerate(times):
            picture = np.zeros((*size, 3), np.uint8)
            picture[..., index % 3] = 200
            picture[:size[0] // 4, :size[1] // 4] = 255  # a corner
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if audio:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), 'fltp', 'mono')
            silence.rate, silence.pts = 48000, 0
            file.mux(audio.encode(silence))
            file.mux(audio.encode())
    return path


def times_of(path):
    """Times of the frames in s, by OpenCV."""
    reader, times = cv2.VideoCapture(str(path)), []
    while reader.read()[0]:
        times.append(reader.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times


def test_frames_keep_their_times(tmp_path):
    times = [0, .04, .08, .5, .52, 1.3]
    source = encode(tmp_path / 'a.mkv', times)
    assert segment_video(Copy(), source, tmp_path / 'b.mp4', '') == 6
    assert times_of(source) == pytest.approx(times, abs=2e-3)
    assert times_of(tmp_path / 'b.mp4') == pytest.approx(times, abs=2e-3)
    colours = [frame[200, 200].argmax() for frame in read_video(tmp_path / 'b.mp4')[0]]
    assert colours == [2, 1, 0, 2, 1, 0], 'BGR'


@VIDEO_READER
def test_the_colours_are_those_of_the_pictures(tmp_path):
    segment_video(Copy(), encode(tmp_path / 'a.mp4', [0, .04, .08]), tmp_path / 'b.mp4', '')
    for frame, channel in zip(read_video(tmp_path / 'b.mp4')[0], (2, 1, 0)):
        expected = np.zeros(3)
        expected[channel] = 200
        assert np.abs(frame[200, 200] - expected).max() < 12


@VIDEO_READER
def test_a_turned_video_is_upright(tmp_path):
    """The matrix in the header of the track turns it by a quarter to the right, as phones write it."""
    source = encode(tmp_path / 'a.mp4', [0, .04])
    one, identity = (1 << 16).to_bytes(4, 'big'), bytes(4)
    data = bytearray(source.read_bytes())
    place = data.index(b'tkhd') + 4 + 40
    assert data[place:place + 20] == one + 3 * identity + one
    data[place:place + 20] = identity + one + identity + (-(1 << 16)).to_bytes(4, 'big', signed=True) + identity
    source.write_bytes(data)
    segment_video(Copy(), source, tmp_path / 'b.mp4', '')
    (before, _), (after, _) = read_video(source), read_video(tmp_path / 'b.mp4')
    assert before.shape[1:] == (80, 64, 3) and after.shape[1:] == (400, 320, 3), 'OpenCV turns it, too'
    assert after[0][10, 310].min() > 180 > after[0][10, 10].min() < 60, 'the corner is above, on the right'
    assert np.abs(after[0][::5, ::5].astype(int) - before[0]).mean() < 12


def test_wide_pixels_become_square_and_sides_even(tmp_path):
    segment_video(Copy(), encode(tmp_path / 'a.mp4', [0], (322, 350), aspect=Fraction(3, 2)), tmp_path / 'b.mp4', '')
    assert read_video(tmp_path / 'b.mp4')[0].shape == (1, 322, 526, 3)  # 350 * 1.5 is 525


@pytest.fixture
def told(monkeypatch):
    """Sentences in the log."""
    sentences = []
    monkeypatch.setattr(video, 'print_log', lambda sentence, *args: sentences.append(sentence))
    return sentences


def sound_of(path):
    with av.open(str(path)) as file:
        return [(stream.codec_context.name, round(float(stream.duration * stream.time_base), 1))
                for stream in file.streams.audio]


def test_the_sound_is_copied_if_mp4_holds_it(tmp_path, told):
    segment_video(Copy(), encode(tmp_path / 'a.mkv', [0, .9], sound='aac'), tmp_path / 'a.mp4', '')
    assert sound_of(tmp_path / 'a.mp4') == [('aac', 1.0)] and not told
    segment_video(Copy(), encode(tmp_path / 'b.avi', [0, .04], codec='mpeg4', sound='pcm_s16le'),
                  tmp_path / 'b.mp4', '')
    assert sound_of(tmp_path / 'b.mp4') == []
    assert told == [f'Video {tmp_path}/b.avi: its sound was left out, because MP4 does not hold pcm_s16le.']


@pytest.mark.parametrize('name', ['a.avi', 'a.mkv'])
def test_a_cut_video_is_told(tmp_path, told, name):
    source = encode(tmp_path / name, [index / 10 for index in range(30)], codec='mpeg4')
    segment_video(Copy(), source, tmp_path / 'whole.mp4', '')
    data = source.read_bytes()
    assert not told
    source.write_bytes(data[:len(data.partition(b'idx1')[0]) // 2])  # the index of an AVI file is at its end
    count = segment_video(Copy(), source, tmp_path / 'b.mp4', '')
    assert 5 < count < 25 and len(times_of(tmp_path / 'b.mp4')) == count
    assert len(told) == 1 and f'its last picture is at {(count - 1) / 10:.1f} s, but its header says ' in told[0]


def test_names_are_files_and_never_addresses(tmp_path):
    source = encode(tmp_path / 'a.mp4', [0]).rename(tmp_path / 'http:x?b=%d.mp4')
    assert segment_video(Copy(), source, tmp_path / 'pipe:1.mp4', '') == 1
    assert len(read_video(tmp_path / 'pipe:1.mp4')[0]) == 1


def test_a_file_that_can_not_be_written_is_one_sentence(tmp_path):
    source, limit = encode(tmp_path / 'a.mp4', [index / 25 for index in range(9)]), resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit))
    try:
        with pytest.raises(UserError, match=r"b\.mp4 can't be written") as error:
            segment_video(Copy(), source, tmp_path / 'b.mp4', '')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    assert '\n' not in str(error.value) and [path.name for path in tmp_path.iterdir()] == ['a.mp4']


def test_without_pyav_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setattr(video, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=r'a\.mp4 is a video, and a video needs PyAV.*\.\[video\]'):
        segment_video(Copy(), 'a.mp4', 'b.mp4', '')


def test_the_bar_counts_frames_and_images(capsys):
    progress = FileProgress(dict(photo=1, film=5, broken=1))
    for file, steps in dict(photo=1, film=3, broken=0).items():
        for _ in range(steps):
            progress.update()
        progress.end(file)
    said = capsys.readouterr().out
    assert '1/7, ' in said and '4/7, ' in said and 'ETA' in said and progress.bar.task_num == 4
    FileProgress(dict(photo=1)).update()
    assert capsys.readouterr().out == ''


@pytest.mark.slow
def test_chromium_plays_it(seg, tmp_path):
    source = encode(tmp_path / 'a.mkv', [0, .04, .3, 1], sound='aac')
    segment_video(seg, source, tmp_path / 'b.mp4', NAMES)
    (tmp_path / 'page.html').write_text('<video src="b.mp4" muted></video>')
    with chromium() as browser:
        page = browser.new_page()
        page.goto((tmp_path / 'page.html').as_uri())
        shown = page.locator('video').evaluate("""async video => {
            await video.play();
            await new Promise((ended, failed) => { video.onended = ended; video.onerror = failed });
            return [video.duration, video.videoWidth, video.videoHeight, video.webkitDecodedFrameCount]}""")
    assert shown[0] == pytest.approx(1.04, abs=.01) and shown[1] == 400 and shown[2] > 320 and shown[3] == 4
