"""Segments a video frame by frame into another one."""
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.utils import ProgressBar

from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization.legend import draw_legend, stack
from mmseg_mvp.visualization.overlay import picture_size
from mmseg_mvp.vocabularies.parsing import Source

from .files import written_whole
from .images import UnreadableImage
from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
LEGEND = 40  # classes that a legend below each frame has room for
FPS = 25.  # of a video that doesn't say


def segment_video(seg: OpenVocabInferencer, source: str | Path, target: str | Path, classes: Source,
                  threshold: float | None = None, overwrite: bool = False) -> int:
    """Write a video of the frames under their labels, with the legend of all classes below; its sound is left out.

    Args:
        seg (OpenVocabInferencer): Segments the frames.
        source (str | Path): A video that OpenCV can read.
        target (str | Path): Ends in ``.mp4``.
        classes (str | list | dict): A vocabulary.
        threshold (float, optional): As in a call of ``seg``.
        overwrite (bool): Whether a file of that name gives way.

    Returns:
        int: Number of frames.

    Raises:
        UnreadableImage: If the video has no frame that OpenCV can read.
        UserError: If the file exists or can't be written, or ``seg`` refuses the classes.
    """
    reader = mmcv.VideoReader(str(source))
    frame, writer = reader.read(), None
    if frame is None:
        raise UnreadableImage(f'Video {source} has no frame that OpenCV can read: it is empty, truncated, no video, or '
                              f'in a format that this OpenCV lacks.')
    bar = ProgressBar(max(int(reader.frame_cnt), 0))
    with written_whole(Path(target), overwrite) as temporary:
        try:
            while frame is not None:
                picture = frame_picture(seg(frame, classes, threshold))
                writer = writer or open_writer(temporary, reader.fps, picture.shape)
                writer.write(picture)
                bar.update()
                frame = reader.read()
        finally:
            if writer:
                writer.release()
    return bar.completed


def frame_picture(out: Segmentation) -> np.ndarray:
    """A frame under its labels, of the same size for each frame of a video.

    Returns:
        np.ndarray: BGR, (H', W', 3) uint8, with even sides, as encoders want them.
    """
    height, width = picture_size(*out.label_map.shape)
    picture = out.draw()[:height, :width]  # the legend below has only those present
    if len(out.classes) <= LEGEND:
        picture = stack(picture, draw_legend(list(zip(out.classes, out.colours)), width))
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')[..., ::-1].copy()


def open_writer(path: Path, fps: float, shape: tuple[int, ...]) -> cv2.VideoWriter:
    """A writer of MPEG-4 frames of a shape (H, W, 3).

    Raises:
        UserError: If OpenCV can't write such a file.
    """
    fps = fps if 0 < fps < 1000 else FPS
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, shape[1::-1])
    if not writer.isOpened():
        raise UserError(f'OpenCV can\'t write an MPEG-4 video of {shape[1]} x {shape[0]} pixels to {path.parent}: is '
                        f'the folder writable, and is opencv-python installed with FFmpeg, as from PyPI?')
    return writer
