"""Conversion of many files in several processes, which continues after an interruption."""
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.utils import ProgressBar
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.files import atomic_write


class Job(NamedTuple):
    """Conversion of one image.

    Attributes:
        sources (tuple[Path, ...]): Files that are read.
        targets (tuple[Path, ...]): Files that are written. Each is complete or absent.
    """
    sources: tuple[Path, ...]
    targets: tuple[Path, ...]


def convert(jobs: Sequence[Job], pictures: Callable[[Job], Sequence[Image.Image]], processes: int) -> str:
    """Write the missing targets of jobs. Existing files are kept, so a second call continues an interrupted one.

    Args:
        jobs (Sequence[Job]): Jobs.
        pictures (Callable): Function that makes the pictures of the targets of a job; one that pickle can send.
        processes (int): Number of processes.

    Returns:
        str: Sentence with the numbers of converted images and of images that existed.

    Raises:
        UserError: If ``processes`` is not a positive integer, a source is not valid or a target cannot be written.
            Targets written before remain.
    """
    check_number('The number of processes (--nproc)', processes, least=1, whole=True)
    open_jobs = [job for job in jobs if not all(target.exists() for target in job.targets)]
    run, progress = partial(_run, pictures), ProgressBar(len(open_jobs), start=bool(open_jobs))
    for _ in map(run, open_jobs) if processes == 1 else _in_parallel(run, open_jobs, processes):
        progress.update()
    return f'{len(open_jobs)} images converted, {len(jobs) - len(open_jobs)} existed.'


def _in_parallel(run: Callable[[Job], None], jobs: Sequence[Job], processes: int) -> Iterator[None]:
    with ProcessPoolExecutor(processes) as pool:
        try:
            yield from pool.map(run, jobs, chunksize=4)
        except BrokenProcessPool as error:
            raise UserError('A process of the conversion was killed, perhaps for lack of memory: call the command '
                            'again with a smaller --nproc; it continues.') from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error, start no further job


def _run(pictures: Callable[[Job], Sequence[Image.Image]], job: Job) -> None:
    for target, picture in zip(job.targets, pictures(job), strict=True):
        if not target.exists():
            with atomic_write(target) as part:
                picture.save(part, **_options(target))


def _options(target: Path) -> dict[str, Any]:
    return dict(compression='tiff_lzw') if target.suffix == '.tif' else {}
