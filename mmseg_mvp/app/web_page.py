"""Web page of ``tools/app.py``: segment an uploaded image by class names. It needs the extra ``web``."""
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from tempfile import mkdtemp

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj_with_meta, traverse

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.apis.segmentation import Segmentation, save_picture
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.modules.pamr import build_refinement
from mmseg_mvp.vocabularies.parsing import separate

from .web_examples import NO_EXAMPLES, Shown, ShownExamples, add_example_panel
from .web_uploads import Visits, told, uploaded_path, without_folders

MAX_TEXT = 100_000  # characters in the text of class names
CLEANING = (60, 3600)  # seconds: interval of the clean-up, and age at which it deletes remaining files

# Gradio ships the bold weight of this font. Its default weight, semibold, lacks the Latin alphabet.
THEME = gr.themes.Default(font=[gr.themes.LocalFont('Source Sans Pro', weights=(400, 700)), 'sans-serif'])
TABLE_STYLE = ('table, tr, th, td { border: 0 } td:nth-child(2) { overflow-wrap: anywhere; min-width: 6em } '
               'th, td { padding: 2px 16px 2px 0; text-align: left; font-weight: normal }')
HEADING = """# Segment by names
Upload an image and name the classes. Add a class such as "other" for the rest of the image.
The image is deleted when this page is closed."""


def class_names(text: str) -> list[str]:
    """Split a text at commas or semicolons into class names; names of files and label sets have no meaning here.

    Raises:
        UserError: If the text is too long, or has both commas and semicolons.
    """
    if len(text) > MAX_TEXT:
        raise UserError(f'The classes have {len(text)} characters, but the limit is {MAX_TEXT}: give fewer classes.')
    return separate(text)


class Page(gr.Blocks):
    """Gradio page that accepts only uploaded files; Gradio's own page also fetches any URL, of any size."""

    def validate_inputs(self, block_fn: Callable, inputs: list) -> None:
        """Check a client's inputs before Gradio uses them.

        Raises:
            gr.Error: If a file is not among the uploads.
        """
        super().validate_inputs(block_fn, inputs)
        with told():
            traverse(inputs, uploaded_path, is_file_obj_with_meta)


class Answers:
    """Event handlers of the page.

    Args:
        seg (OpenVocabInferencer): Model that segments the images, one at a time.
    """

    def __init__(self, seg: OpenVocabInferencer) -> None:
        self.seg, self.visits = seg, Visits()
        self.examples = ShownExamples(seg.max_pixels, self.visits)
        self.refinement = seg.model.refinement or build_refinement('pamr')

    def upload(self, file: dict, request: gr.Request) -> None:
        """Handle an upload: add it to the visit, without segmentation."""
        with told():
            self.visits.note(request, uploaded_path(file))

    def segment(self, file: dict | None, names: str, with_views: bool, refined: bool, request: gr.Request,
                examples: Shown = NO_EXAMPLES) -> tuple:
        """Handle the button: segment the uploaded image.

        Args:
            file (dict, optional): Gradio's description of the image file.
            names (str): Class names, separated by commas.
            with_views (bool): True also draws the map of each prompt.
            refined (bool): True refines the borders.
            request (gr.Request): Request that identifies the visit.
            examples (Shown): Examples of the visit.

        Returns:
            tuple: New values of the picture, the mask, the table and the picture of the views.

        Raises:
            gr.Error: With the message of a UserError.
        """
        with told():
            if file is None:
                raise UserError('There is no image yet: upload one.')
            path = uploaded_path(file)
            self.seg.model.refinement = self.refinement if refined else None
            with without_folders(path, *(one.image for one in examples.values())):
                classes = self.examples.with_names(class_names(str(names)), examples)
                out = self.seg(path, classes=classes)
            with_views = bool(with_views) and self.seg.can_explain
            files = save_results(out, path.stem, with_views)
        self.visits.note(request, path, *files.values())
        return (str(files['seg']), gr.update(value=str(files['mask']), interactive=True), describe_mask(out),
                gr.update(value=str(files['views']), visible=True) if with_views else gr.update(visible=False))

    def toggle(self, file: dict | None, names: str, with_views: bool, refined: bool, request: gr.Request,
               examples: Shown = NO_EXAMPLES) -> tuple:
        """Handle a checkbox: segment again, or only hide the views if the image or names are missing."""
        if file is None or not (str(names).strip() or examples):
            return gr.skip(), gr.skip(), gr.skip(), gr.update(visible=False)
        return self.segment(file, names, with_views, refined, request, examples)


def save_results(out: Segmentation, stem: str, with_views: bool) -> dict[str, Path]:
    """Write the picture, the mask and optionally the views to a new folder in Gradio's; return the paths by kind."""
    folder = Path(mkdtemp(dir=get_upload_folder()))
    files = {kind: folder / f'{stem}_{kind}.png' for kind in ('seg', 'mask', *['views'] * with_views)}
    out.save(files['seg'])
    out.save_mask(files['mask'])
    if with_views:
        save_picture(out.draw_views(), files['views'])
    return files


def describe_mask(out: Segmentation) -> str:
    """Return an HTML table of the classes present: colour, name, value in the mask and share of the image."""
    areas = np.bincount(out.label_map.ravel(), minlength=len(out.classes))
    rows = [_row(out.colours[label], label, out.classes[label], areas[label] / out.label_map.size)
            for label in map(out.index, out.present())]
    heads = ''.join(f'<th>{title}</th>' for title in ('', 'class', 'value in the mask', 'share of the image'))
    return f'<table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _row(colour: Sequence[int], label: int, name: str, share: float) -> str:
    swatch = f'<td><span style="background: rgb{tuple(map(int, colour))}">&emsp;&ensp;</span></td>'
    return f'<tr>{swatch}<td>{escape(name)}</td><td>{label}</td><td>{share:.1%}</td></tr>'


def build_page(seg: OpenVocabInferencer) -> gr.Blocks:
    """Build the page of a model. The environment variable ``GRADIO_TEMP_DIR`` sets the folder of uploads and results.

    Args:
        seg (OpenVocabInferencer): Model that segments the images.

    Returns:
        gr.Blocks: Page, launched by :func:`mmseg_mvp.app.web_server.serve`.
    """
    answers = Answers(seg)
    shown = dict(interactive=False, show_label=False, buttons=['download', 'fullscreen'])
    with Page(title='MMSeg-MVP', analytics_enabled=False, delete_cache=CLEANING) as page:
        gr.Markdown(HEADING)
        with gr.Row():
            with gr.Column():
                image = gr.Image(label='Image', sources=['upload', 'clipboard'], buttons=[], height=320)
                names = gr.Textbox(label='Classes, separated by commas', placeholder='red house, tree, boat, other')
                examples = add_example_panel(answers.examples)
                views = gr.Checkbox(label='Show the map of each prompt', visible=seg.can_explain)
                refined = gr.Checkbox(label='Move borders to those of the image (PAMR, slower)',
                                      value=seg.model.refinement is not None)
                button = gr.Button('Segment', variant='primary')
                table = gr.HTML(css_template=TABLE_STYLE, elem_id='table')
            with gr.Column():
                picture = gr.Image(label='Segmentation', elem_id='picture', **shown)
                mask = gr.DownloadButton('Download the mask (PNG)', interactive=False)
        seen = gr.Image(label='Map of each prompt', elem_id='views', visible=False, **shown)
        settings = dict(preprocess=False, api_visibility='private', concurrency_id='model', concurrency_limit=1,
                        show_progress_on=picture)
        for event, answer in ((button.click, answers.segment), (names.submit, answers.segment),
                              (views.change, answers.toggle), (refined.change, answers.toggle)):
            event(answer, [image, names, views, refined, examples], [picture, mask, table, seen], **settings)
        image.upload(answers.upload, image, None, preprocess=False, api_visibility='private')
        page.unload(answers.visits.end)
    return page
