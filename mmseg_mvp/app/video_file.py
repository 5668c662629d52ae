"""Reading and writing of video files by PyAV, the extra ``video``."""
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mmseg_mvp.apis.images import UnreadableImage

TICK = Fraction(1, 90000)  # s: unit of the times in a new file; common frame rates are multiples of it
FPS = Fraction(25)  # used if the video has no valid frame rate
COPIED = ('aac', 'ac3', 'alac', 'eac3', 'flac', 'mp3', 'opus')  # sound that MP4 holds
BT709 = 1  # FFmpeg's number of the colours of HD video, which players expect


class VideoReader:
    """Frames of a video as players show them: turned by the file's rotation, with square pixels.

    Args:
        path (str | Path): Video file. Nothing but this file is opened, also if it is a playlist.

    Attributes:
        count (int): Number of frames as the header says or by duration and frame rate, at least 1.
        rate (Fraction): Mean number of frames per second.
        length (float): Duration in seconds as the header says; 0 if it does not.
        audio (av.AudioStream, optional): First sound stream.
        sound (deque): Packets of the sound that were read so far. The writer removes them.
        complaints (list[str]): Sentences about parts that were not read.

    Raises:
        UnreadableImage: If FFmpeg finds no video in the file.
    """

    def __init__(self, path: str | Path) -> None:
        import av

        self.path, self.complaints, self.sound = path, [], deque()
        try:
            self._file = av.open(f'file:{path}', options=dict(protocol_whitelist='file'))
            self._video = self._file.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise self.unreadable() from error
        self._video.thread_type = 'AUTO'
        self.audio = next(iter(self._file.streams.audio), None)
        rate, frames = self._video.average_rate or FPS, self._video.frames
        self.rate = rate if 0 < rate < 1000 else FPS
        self.start = Fraction(self._file.start_time or 0, av.time_base)
        self.length = float(frames / rate if frames else (self._file.duration or 0) / av.time_base)
        self.count = frames or max(round(self.length * self.rate), 1)

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def unreadable(self) -> UnreadableImage:
        """Return the error of a file without a frame."""
        return UnreadableImage(f'Video {self.path} has no frame that FFmpeg can read: it is empty, truncated, not a '
                               f'video, or in a format that this FFmpeg lacks.')

    def __iter__(self) -> Iterator[tuple[np.ndarray, Fraction, Fraction]]:
        """Generate frames, BGR, (H, W, 3) uint8, their times from 0 on and their durations, both in seconds."""
        import av

        damaged = number = 0
        for packet in self._packets():
            if packet.stream != self._video:
                self.sound.append(packet)
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                unit = frame.time_base
                start = frame.pts * unit - self.start if unit and frame.pts is not None else number / self.rate
                yield self._upright(frame), start, frame.duration * unit if unit and frame.duration else 1 / self.rate
                number += 1
        if damaged:
            self.complaints.append(f'{damaged} damaged parts were left out.')
        if number and start < self.length - max(0.05 * self.length, 0.5):
            self.complaints.append(f'its last picture is at {float(start):.1f} s, but its header says '
                                   f'{self.length:.1f} s, so it may be truncated.')

    def _packets(self) -> Iterator:
        import av

        streams = [self._video, *[self.audio] * (self.audio is not None)]
        try:
            yield from self._file.demux(streams)
        except av.FFmpegError as error:
            self.complaints.append(f'it is damaged, and the rest was not read ({error.strerror}).')

    def _upright(self, frame) -> np.ndarray:
        aspect = self._video.sample_aspect_ratio or 1
        width = max(round(frame.width * aspect), 1)
        return np.ascontiguousarray(np.rot90(frame.to_ndarray(format='bgr24', width=width), frame.rotation // 90))


class VideoWriter:
    """New file of H.264 in MP4, with the times and the sound of another video.

    Args:
        path (Path): Path to write to.
        reader (VideoReader): The other video.

    Attributes:
        count (int): Number of frames written.
        complaints (list[str]): Sentences about parts that the file lacks.

    Raises:
        OSError: If the file can't be written.
    """

    def __init__(self, path: Path, reader: VideoReader) -> None:
        self.path, self.reader, self.count, self.complaints = path, reader, 0, []
        self._file = self._video = self._audio = self._size = None
        self._last = -1  # ticks

    def __enter__(self) -> 'VideoWriter':
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        if self._file is None:
            return
        with os_errors() if kind is None else suppress(Exception):  # the first error counts
            try:
                if kind is None:
                    self._put(self._video.encode())
                    self._copy_sound()
            finally:
                self._file.close()

    def write(self, picture: np.ndarray, start: Fraction, duration: Fraction) -> None:
        """Add a frame, BGR, (H, W, 3) uint8 with even sides; all frames get the size of the first one.

        Its time and duration are in seconds.
        """
        import av

        if self._file is None:
            self._open(picture.shape)
        if picture.shape != self._size:
            picture = cv2.resize(picture, self._size[1::-1], interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(picture, 'bgr24').reformat(format='yuv420p', dst_colorspace='ITU709')
        self._last = max(round(start / TICK), self._last + 1)  # times must grow
        frame.pts, frame.duration, frame.time_base = self._last, round(duration / TICK), TICK
        self._put(self._video.encode(frame))
        self._copy_sound()
        self.count += 1

    def _open(self, shape: tuple[int, ...]) -> None:
        import av

        self._size = shape
        with os_errors():
            self._file = av.open(f'file:{self.path}', 'w', 'mp4', options=dict(movflags='+faststart'))
        # Without B-frames, frames are stored in the order of their times, and each keeps its duration.
        self._video = self._file.add_stream('libx264', self.reader.rate, options=dict(crf='20', bf='0'))
        context = self._video.codec_context
        context.height, context.width, context.pix_fmt, context.time_base = *shape[:2], 'yuv420p', TICK
        context.colorspace = context.color_primaries = context.color_trc = BT709
        if (audio := self.reader.audio) is not None:
            if audio.codec_context.name in COPIED or audio.codec_context.name == 'mp3float':
                self._audio = self._file.add_stream_from_template(audio)
            else:
                self.complaints.append(f'its sound was left out, because MP4 does not hold {audio.codec_context.name}.')

    def _copy_sound(self) -> None:
        while self.reader.sound:
            packet = self.reader.sound.popleft()
            if self._audio is None or packet.dts is None:
                continue
            shift = round(self.reader.start / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            packet.stream = self._audio
            self._put(packet)

    def _put(self, packets) -> None:
        with os_errors():
            self._file.mux(packets)


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise FFmpeg's errors as OSError, as Python's files do."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error
