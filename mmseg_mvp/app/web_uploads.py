"""Uploads of the web page: whose they are, and messages that do not name the server's folders."""
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from mmseg_mvp.errors import UserError

SHOWN_SECONDS = 20  # display time of an error message


@contextmanager
def told() -> Iterator[None]:
    """Convert a UserError to a message on the page; escape the text, since Gradio renders it as HTML."""
    try:
        yield
    except UserError as error:
        raise gr.Error(escape(str(error)), duration=SHOWN_SECONDS, print_exception=False) from error


def uploaded_path(file: dict) -> Path:
    """Return the path of an uploaded file; refuse all other paths.

    Args:
        file (dict): Gradio's description of a file.

    Returns:
        Path: File in Gradio's upload folder.

    Raises:
        UserError: If the path is not an existing file in this folder, such as another file of the server, or a URL.
    """
    path = Path(str(file.get('path'))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise UserError('The image is not among the uploads: upload it again.')
    return path


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


class Visits:
    """Files of each visit (one page in one browser). They are deleted when the visit ends."""

    def __init__(self) -> None:
        self._files = defaultdict(set)

    def note(self, request: gr.Request, *paths: Path) -> None:
        """Add files to a visit."""
        self._files[request.session_hash].update(paths)

    def end(self, request: gr.Request) -> None:
        """Delete the files of a visit, except files that belong to another visit as well."""
        gone = self._files.pop(request.session_hash, set())
        for path in gone.difference(*list(self._files.values())):
            path.unlink(missing_ok=True)
