"""The page of ``tools/app.py``: an image, the names to look for, and what the model sees. Needs the extra ``web``."""
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import mkdtemp

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj_with_meta, traverse

from mmseg_mvp.errors import UserError

from .inferencer import OpenVocabInferencer
from .segmentation import Segmentation, save_picture

MAX_TEXT = 100_000  # characters of the names
SHOWN_SECONDS = 20  # of a sentence about a mistake
CLEANING = (60, 3600)  # s: how often files are looked through, and the age at which those that nobody took away go

# Of this font Gradio brings the bold letters along; its own choice, the semibold ones, lacks the Latin alphabet.
THEME = gr.themes.Default(font=[gr.themes.LocalFont('Source Sans Pro', weights=(400, 700)), 'sans-serif'])
TABLE_STYLE = ('table, tr, th, td { border: 0 } td:nth-child(2) { overflow-wrap: anywhere } '
               'th, td { padding: 2px 16px 2px 0; text-align: left; font-weight: normal }')
HEADING = """# Segment by names
Upload an image and name what to look for; a name like "other" takes what nothing else fits.
The image is deleted when this page is closed."""


@contextmanager
def told() -> Iterator[None]:
    """Have the page show the sentence of a UserError; Gradio takes it for HTML."""
    try:
        yield
    except UserError as error:
        raise gr.Error(escape(str(error)), duration=SHOWN_SECONDS, print_exception=False) from error


def uploaded_path(file: dict) -> Path:
    """Path of an upload that a client names.

    Args:
        file (dict): As Gradio describes a file.

    Returns:
        Path: Of a file in Gradio's folder.

    Raises:
        UserError: If it is anything else, such as another file of the server, or an address.
    """
    path = Path(str(file.get('path'))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise UserError('The image is not among the uploads (any more): upload it again.')
    return path


def class_names(text: str) -> list[str]:
    """Names parted by commas, which are nothing else here: neither a file of names nor the name of a label set.

    Raises:
        UserError: If the text is too long.
    """
    if len(text) > MAX_TEXT:
        raise UserError(f'The classes have {len(text)} characters: {MAX_TEXT} are taken at most.')
    return [name.strip() for name in text.split(',') if name.strip()]


class Page(gr.Blocks):
    """Gradio's page, which looks only at uploads: by itself it would fetch any address, at any size."""

    def validate_inputs(self, block_fn: Callable, inputs: list) -> None:
        """As Gradio, before it does anything with what a client sent.

        Raises:
            gr.Error: If a file is not among the uploads.
        """
        super().validate_inputs(block_fn, inputs)
        with told():
            traverse(inputs, uploaded_path, is_file_obj_with_meta)


class Visits:
    """The files of each visit, that is of a page in a browser. They go when the visit ends."""

    def __init__(self) -> None:
        self._files = defaultdict(set)

    def note(self, request: gr.Request, *paths: Path) -> None:
        """Remember files as those of a visit."""
        self._files[request.session_hash].update(paths)

    def end(self, request: gr.Request) -> None:
        """Delete the files of a visit, but those that another one has uploaded, too."""
        gone = self._files.pop(request.session_hash, set())
        for path in gone.difference(*list(self._files.values())):
            path.unlink(missing_ok=True)


class Answers:
    """What happens when something is pressed.

    Args:
        seg (OpenVocabInferencer): Segments the images, one at a time.
    """

    def __init__(self, seg: OpenVocabInferencer) -> None:
        self.seg, self.visits = seg, Visits()

    def upload(self, file: dict, request: gr.Request) -> None:
        """An image was uploaded; nothing is computed before there are names."""
        with told():
            self.visits.note(request, uploaded_path(file))

    def segment(self, file: dict | None, names: str, with_views: bool, request: gr.Request) -> tuple:
        """The button: segment an upload.

        Args:
            file (dict, optional): The image, as Gradio describes it.
            names (str): Parted by commas.
            with_views (bool): Whether to draw what each prompt sees, too.
            request (gr.Request): Whose visit it is.

        Returns:
            tuple: New values of the picture, the mask, the table and the picture of the views.

        Raises:
            gr.Error: With the sentence of a UserError.
        """
        with told():
            if file is None:
                raise UserError('There is no image yet: upload one.')
            path = uploaded_path(file)
            try:
                out = self.seg(path, classes=class_names(str(names)))
            except UserError as error:  # the visitor knows the file by its name alone
                raise UserError(str(error).replace(str(path), path.name)) from error
            with_views = bool(with_views) and self.seg.can_explain
            files = save_results(out, path.stem, with_views)
        self.visits.note(request, path, *files.values())
        return (str(files['seg']), gr.update(value=str(files['mask']), interactive=True), describe_mask(out),
                gr.update(value=str(files['views']), visible=True) if with_views else gr.update(visible=False))

    def toggle(self, file: dict | None, names: str, with_views: bool, request: gr.Request) -> tuple:
        """The views are switched on or off, maybe before there is anything to segment."""
        if file is None or not str(names).strip():
            return gr.skip(), gr.skip(), gr.skip(), gr.update(visible=False)
        return self.segment(file, names, with_views, request)


def save_results(out: Segmentation, stem: str, with_views: bool) -> dict[str, Path]:
    """Write the picture, the mask and, if wanted, the views into a new folder within Gradio's; their paths by kind."""
    folder = Path(mkdtemp(dir=get_upload_folder()))
    files = {kind: folder / f'{stem}_{kind}.png' for kind in ('seg', 'mask', *['views'] * with_views)}
    out.save(files['seg'])
    out.save_mask(files['mask'])
    if with_views:
        save_picture(out.draw_views(), files['views'])
    return files


def describe_mask(out: Segmentation) -> str:
    """HTML of a table of the classes present: colour, value in the mask, name and share of the image."""
    areas = np.bincount(out.label_map.ravel(), minlength=len(out.classes))
    rows = [_row(out.colours[label], label, out.classes[label], areas[label] / out.label_map.size)
            for label in map(out.index, out.present())]
    heads = ''.join(f'<th>{title}</th>' for title in ('', 'class', 'value in the mask', 'share of the image'))
    return f'<table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _row(colour: Sequence[int], label: int, name: str, share: float) -> str:
    swatch = f'<td><span style="background: rgb{tuple(map(int, colour))}">&emsp;&ensp;</span></td>'
    return f'<tr>{swatch}<td>{escape(name)}</td><td>{label}</td><td>{share:.1%}</td></tr>'


def build_page(seg: OpenVocabInferencer) -> gr.Blocks:
    """The page of a model. Uploads and results lie where the environment variable ``GRADIO_TEMP_DIR`` says.

    Args:
        seg (OpenVocabInferencer): Segments the images.

    Returns:
        gr.Blocks: To be launched by :func:`mmseg_mvp.apis.web_server.serve`.
    """
    answers = Answers(seg)
    shown = dict(interactive=False, show_label=False, buttons=['download', 'fullscreen'])
    with Page(title='MMSeg-MVP', analytics_enabled=False, delete_cache=CLEANING) as page:
        gr.Markdown(HEADING)
        with gr.Row():
            with gr.Column():
                image = gr.Image(label='Image', sources=['upload', 'clipboard'], buttons=[], height=320)
                names = gr.Textbox(label='Classes, parted by commas', placeholder='red house, tree, boat, other')
                views = gr.Checkbox(label='Show what each prompt sees', visible=seg.can_explain)
                button = gr.Button('Segment', variant='primary')
                table = gr.HTML(css_template=TABLE_STYLE, elem_id='table')
            with gr.Column():
                picture = gr.Image(label='Segmentation', elem_id='picture', **shown)
                mask = gr.DownloadButton('Download the mask (PNG)', interactive=False)
        seen = gr.Image(label='What each prompt sees', elem_id='views', visible=False, **shown)
        settings = dict(preprocess=False, api_visibility='private', concurrency_id='model', concurrency_limit=1,
                        show_progress_on=picture)
        for event, answer in ((button.click, answers.segment), (names.submit, answers.segment),
                              (views.change, answers.toggle)):
            event(answer, [image, names, views], [picture, mask, table, seen], **settings)
        image.upload(answers.upload, image, None, preprocess=False, api_visibility='private')
        page.unload(answers.visits.end)
    return page
