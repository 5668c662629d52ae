"""Segmentation of a video, frame by frame. It needs PyAV, the extra ``video``."""
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmseg_mvp.apis.images import UnreadableImage
from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.apis.segmentation import Segmentation
from mmseg_mvp.errors import UserError
from mmseg_mvp.host import extra_advice
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.visualization.legend import draw_legend, stack
from mmseg_mvp.visualization.overlay import picture_size
from mmseg_mvp.vocabularies.parsing import Source

from .video_file import VideoReader, VideoWriter

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
LEGEND = 40  # largest number of classes in a legend below the frames
MISSING = f'a video needs PyAV, which is not installed: {extra_advice("video")}'


def can_segment_videos() -> bool:
    """Return True if PyAV is installed."""
    return find_spec('av') is not None


def count_frames(source: str | Path) -> int:
    """Return the number of frames of a video, from its header, at least 1. An unreadable file counts as one frame."""
    try:
        with VideoReader(source) as reader:
            return reader.count
    except UnreadableImage:
        return 1


def segment_video(seg: OpenVocabInferencer, source: str | Path, target: str | Path, classes: Source,
                  threshold: float | None = None, overwrite: bool = False,
                  update: Callable[[], object] = lambda: None) -> int:
    """Write a video with the label map over each frame, as H.264 in MP4. Add a legend for at most 40 classes.

    Frames keep their times and are turned as players show them. The sound is copied if MP4 holds its format.

    Args:
        seg (OpenVocabInferencer): Model that segments the frames.
        source (str | Path): Video that FFmpeg can read.
        target (str | Path): Path of the new video, ``.mp4``.
        classes (str | list | dict): Vocabulary, as in a call of ``seg``.
        threshold (float, optional): As in a call of ``seg``.
        overwrite (bool): True replaces an existing file.
        update (Callable): Called after each frame.

    Returns:
        int: Number of frames.

    Raises:
        UnreadableImage: If the video has no frame that FFmpeg can read.
        UserError: If PyAV is missing, ``target`` exists and ``overwrite`` is False, can't be written, or ``seg``
            refuses the classes.
    """
    if not can_segment_videos():
        raise UserError(f'{source} is a video, and {MISSING}')
    with VideoReader(source) as reader, atomic_write(Path(target), overwrite) as temporary:
        with VideoWriter(temporary, reader) as writer:
            for frame, start, duration in reader:
                writer.write(frame_picture(seg(frame, classes, threshold)), start, duration)
                update()
        if not writer.count:
            raise reader.unreadable()
    for sentence in (*reader.complaints, *writer.complaints):
        print_log(f'Video {source}: {sentence}', 'current', logging.WARNING)
    return writer.count


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
