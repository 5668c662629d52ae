"""Visits of the web page: one page in one browser, its files, its examples and its result."""
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mmseg_mvp.apis.examples import Example
from mmseg_mvp.apis.segmentation import Segmentation
from mmseg_mvp.errors import UserError

LONGEST_PAUSE = 3600  # seconds without an event, after which a visit is over
MOST_RESULTS = 4  # results in memory
ENDING = 'visits/{visit}/end'  # address from that of the page
# A browser opens at most six connections to a server, and Gradio's own signal for the end of a visit takes one for each
# page. This signal is sent when the page is left. A page from the browser's cache starts a new visit.
SIGNAL = f'''visit => {{
    addEventListener('pagehide', () => navigator.sendBeacon('{ENDING}'.replace('{{visit}}', visit)));
    addEventListener('pageshow', event => event.persisted && location.reload());
}}'''


@dataclass(frozen=True, eq=False)
class Task:
    """Image and classes of a result.

    Attributes:
        path (Path): Uploaded image.
        classes (list | dict): Classes, as the inferencer takes them.
    """
    path: Path
    classes: list | dict


@dataclass
class Visit:
    """Visit of the page.

    Attributes:
        files (set[Path]): Uploads and results.
        examples (dict[str, Example]): Classes by example.
        picture (Path, optional): Upload for the next example.
        outline (list[tuple[float, float]]): Region in it: an outline, one point, or nothing. Values are shares of the
            width and height, 0 to 1.
        task (Task, optional): Image and classes of the result on the page.
        result (Segmentation, optional): This result, if it is still in memory.
        used (float): Time of the last event.
    """
    files: set[Path] = field(default_factory=set)
    examples: dict[str, Example] = field(default_factory=dict)
    picture: Path | None = None
    outline: list[tuple[float, float]] = field(default_factory=list)
    task: Task | None = None
    result: Segmentation | None = None
    used: float = 0

    def forget(self) -> None:
        """Remove the result."""
        self.task = self.result = None


class Visits:
    """All visits. Their files are deleted when they end."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}
        self._left: dict[str, Visit] = {}  # of visitors who left, for whom a run may still be at work

    def of(self, request: gr.Request) -> Visit:
        """Return the visit of a request, a new one if necessary. Visits without an event for an hour end."""
        now = time.monotonic()
        for key in [key for key, visit in list(self._visits.items()) if now - visit.used > LONGEST_PAUSE]:
            self.end(key)
        for key in [key for key, visit in list(self._left.items()) if now - visit.used > LONGEST_PAUSE]:
            self._left.pop(key, None)
        visit = self._left.get(request.session_hash) or self._visits.setdefault(request.session_hash, Visit())
        visit.used = now
        return visit

    def note(self, request: gr.Request, *paths: Path) -> None:
        """Add files to a visit. Those of a visitor who left are deleted at once."""
        self.of(request).files.update(paths)
        if request.session_hash in self._left:
            self._delete(paths)

    def keep(self, request: gr.Request, result: Segmentation) -> None:
        """Keep the result of a visit in memory, and forget the oldest ones."""
        if request.session_hash in self._left:
            return
        self.of(request).result = result
        holders = sorted((visit for visit in list(self._visits.values()) if visit.result), key=lambda one: one.used)
        for visit in holders[:-MOST_RESULTS]:
            visit.result = None

    def end(self, key: str) -> None:
        """Delete the files of a visit, except files that belong to another visit as well."""
        visit = self._visits.pop(key, Visit())
        visit.forget()  # a run may still be at work for it
        self._delete(visit.files)

    def _delete(self, paths: Iterable[Path]) -> None:
        """Delete files that belong to no visit."""
        for path in set(paths).difference(*[visit.files for visit in list(self._visits.values())]):
            path.unlink(missing_ok=True)

    def leave(self, key: str) -> None:
        """End a visit whose page is left. Its key does not come again."""
        visit = self._left[key] = self._visits.get(key, Visit())
        visit.used = time.monotonic()
        self.end(key)

    def route(self) -> Route:
        """Return the route of the signal that a page sends when it is left."""
        def end(request: Request) -> Response:
            self.leave(request.path_params['visit'])
            return Response(status_code=204)

        return Route(f'/{ENDING}', end, methods=['POST'])


def uploaded_path(file: dict | None) -> Path:
    """Return the path of an uploaded file; refuse all other paths.

    Args:
        file (dict, optional): Gradio's description of a file.

    Returns:
        Path: File in Gradio's upload folder.

    Raises:
        UserError: If there is no file, or the path is not an existing file in this folder, such as another file of the
            server, or a URL.
    """
    if file is None:
        raise UserError('There is no image yet: upload one.')
    path = Path(str(file.get('path'))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise UserError('The image is not among the uploads: upload it again.')
    return path


def new_folder() -> Path:
    """Make a folder for new files of a visit."""
    return Path(mkdtemp(dir=get_upload_folder()))


@contextmanager
def without_folders(*paths: Path) -> Iterator[None]:
    """Name files in a UserError as the visitor does, without the folders of the server."""
    try:
        yield
    except UserError as error:
        sentence = str(error)
        for path in paths:
            sentence = sentence.replace(str(path), path.name)
        raise UserError(sentence) from error
