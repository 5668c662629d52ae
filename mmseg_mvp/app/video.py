"""Segmentation of a video, frame by frame."""
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.utils import ProgressBar

from mmseg_mvp.apis.images import UnreadableImage
from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.apis.segmentation import Segmentation
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.visualization.legend import draw_legend, stack
from mmseg_mvp.visualization.overlay import picture_size
from mmseg_mvp.vocabularies.parsing import Source

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
LEGEND = 40  # largest number of classes in a legend below the frames
FPS = 25.  # used if the video has no valid frame rate


def segment_video(seg: OpenVocabInferencer, source: str | Path, target: str | Path, classes: Source,
                  threshold: float | None = None, overwrite: bool = False) -> int:
    """Write a video with the label map over each frame, without sound. Add a legend for at most 40 classes.

    Args:
        seg (OpenVocabInferencer): Model that segments the frames.
        source (str | Path): Video that OpenCV can read.
        target (str | Path): Path of the new video, ``.mp4``.
        classes (str | list | dict): Vocabulary, as in a call of ``seg``.
        threshold (float, optional): As in a call of ``seg``.
        overwrite (bool): True replaces an existing file.

    Returns:
        int: Number of frames.

    Raises:
        UnreadableImage: If the video has no frame that OpenCV can read.
        UserError: If ``target`` exists and ``overwrite`` is False, can't be written, or ``seg`` refuses the classes.
    """
    reader = mmcv.VideoReader(str(source))
    frame, writer = reader.read(), None
    if frame is None:
        raise UnreadableImage(f'Video {source} has no frame that OpenCV can read: it is empty, truncated, not a '
                              f'video, or in a format that this OpenCV lacks.')
    bar = ProgressBar(max(int(reader.frame_cnt), 0))
    with atomic_write(Path(target), overwrite) as temporary:
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
    """Draw the label map over a frame. All frames of a video get the same size.

    Returns:
        np.ndarray: BGR, (H', W', 3) uint8, with even sides, since encoders need them.
    """
    height, width = picture_size(*out.label_map.shape)
    picture = out.draw()[:height, :width]  # without draw()'s own legend, which differs by frame
    if len(out.classes) <= LEGEND:
        picture = stack(picture, draw_legend(list(zip(out.classes, out.colours)), width))
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')[..., ::-1].copy()


def open_writer(path: Path, fps: float, shape: tuple[int, ...]) -> cv2.VideoWriter:
    """Open a writer of MPEG-4 video with frames of a shape (H, W, 3).

    Raises:
        UserError: If OpenCV can't open the file for MPEG-4.
    """
    fps = fps if 0 < fps < 1000 else FPS
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, shape[1::-1])
    if not writer.isOpened():
        raise UserError(f'OpenCV can\'t write an MPEG-4 video of {shape[1]} x {shape[0]} pixels to {path.parent}: '
                        f'check that the folder is writable, and install opencv-python with FFmpeg (as from PyPI).')
    return writer
