"""Web page of ``tools/app.py``: segment an image by class names. It needs the extra ``web``."""
import json
from collections.abc import Callable
from html import escape

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta, traverse

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.errors import UserError

from .answers import Answers, no_result
from .examples import add_example_panel
from .gallery import add_gallery
from .limits import Limits
from .model import describe_model, describe_toy, placeholder_of
from .style import TABLE_STYLE, say
from .visits import SIGNAL, uploaded_path

CLEANING = (60, 3600)  # seconds: interval of the clean-up, and age at which it deletes remaining files
HEADING = """# Segment by names
Upload an image and name the classes. Add a class such as "other" for the rest of the image.
The image is deleted when this page is closed."""
# Each action removes the messages of the one before, also those of Gradio itself about files that it refuses.
ONE_MISTAKE = '''() => {
    const clear = () => {
        document.querySelectorAll('.toast-close').forEach(button => button.click());
        document.querySelectorAll('.say.mistake').forEach(message => { message.hidden = true; });
    };
    const has = files => files && files.length;
    addEventListener('change', event => has(event.target.files) && clear(), true);
    addEventListener('drop', event => has(event.dataTransfer.files) && clear(), true);
    addEventListener('paste', event => has(event.clipboardData.files) && clear(), true);
    addEventListener('click', event => event.target.closest('button:not(.toast-close)') && clear(), true);
    addEventListener('keydown', event => event.key == 'Enter' && clear(), true);
}'''
# The browser itself removes the last result before a run, and tells if the server fails.
CLEAR = '() => %s'
FAILED = '''() => {
    document.querySelectorAll('.toast-close').forEach(button => button.click());
    return %s;
}'''
NO_ANSWER = 'The server gave no result, because it is busy or was stopped: try again.'
# After a run, the news is in sight, also on a phone. Gradio's pictures have no names for screen readers.
SHOW = '''() => {
    const names = [...document.querySelectorAll('#table td:nth-child(2)')].map(cell => cell.textContent).join(', ');
    for (const [id, text] of [['picture', 'Result'], ['views', 'Map of each prompt']])
        for (const part of document.querySelectorAll(`#${id} button:has(img), #${id} img`))
            part.setAttribute(part.tagName == 'IMG' ? 'alt' : 'aria-label', `${text}: ${names}`);
    const news = document.querySelector('%s'), picture = news && news.querySelector('img');
    const show = () => {
        const top = news ? news.getBoundingClientRect().top : 0;
        if (top < 0 || top > innerHeight / 2) news.scrollIntoView({block: 'start'});
    };
    picture && !picture.complete ? picture.addEventListener('load', show, {once: true}) : show();
}'''


class Page(gr.Blocks):
    """Gradio page that accepts only uploaded files; Gradio's own page also fetches any URL, of any size."""

    def validate_inputs(self, block_fn: Callable, inputs: list) -> None:
        """Check a client's inputs before Gradio uses them.

        Raises:
            gr.Error: If a file is not among the uploads.
        """
        super().validate_inputs(block_fn, inputs)
        try:
            traverse(inputs, uploaded_path, is_file_obj_with_meta)
        except UserError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error


class Layout:
    """Parts of the page.

    Args:
        seg (OpenVocabInferencer): Model that segments the images.
        answers (Answers): Event handlers.
    """

    def __init__(self, seg: OpenVocabInferencer, answers: Answers) -> None:
        gr.Markdown(HEADING)
        gr.Markdown(describe_model(seg), elem_id='model')
        if (title_and_words := describe_toy(seg)):
            with gr.Accordion(title_and_words[0], open=False, elem_id='toy'):
                gr.Markdown(title_and_words[1])
        with gr.Row():
            with gr.Column():
                self._add_inputs(seg, answers)
            with gr.Column(elem_id='result'):
                self._add_outputs()
        self.seen = gr.Image(label='Map of each prompt', elem_id='views', visible=False, **_shown())
        self.outputs = [self.message, self.picture, self.mask, self.table, self.seen]

    def _add_inputs(self, seg: OpenVocabInferencer, answers: Answers) -> None:
        self.image = gr.Image(label='Image', sources=['upload', 'clipboard'], buttons=[], height=280, elem_id='image')
        self.gallery = add_gallery(seg)
        self.names = gr.Textbox(label='Classes, separated by commas', placeholder=placeholder_of(seg))
        self.button = gr.Button('Segment', variant='primary')
        self.views = gr.Checkbox(label='Show the map of each prompt', visible=seg.can_explain)
        self.refined = gr.Checkbox(label='Move borders to those of the image (PAMR, slower)',
                                   value=seg.model.refinement is not None)
        add_example_panel(answers.examples)
        gr.Markdown(answers.limits.describe(), elem_id='limits')

    def _add_outputs(self) -> None:
        self.message = gr.HTML(say('The result appears here.'), elem_id='message')
        self.picture = gr.Image(label='Segmentation', elem_id='picture', visible=False, **_shown())
        self.mask = gr.DownloadButton('Download the mask (PNG)', interactive=False)
        self.table = gr.HTML(css_template=TABLE_STYLE, elem_id='table')


def _shown() -> dict:
    return dict(interactive=False, show_label=False, buttons=['download', 'fullscreen'])


def connect(parts: Layout, answers: Answers) -> None:
    """Connect the parts of the page to their event handlers."""
    settings = dict(preprocess=False, api_visibility='private')
    model = dict(settings, concurrency_id='model', concurrency_limit=1, show_progress_on=parts.message)
    inputs, outputs = [parts.image, parts.names, parts.views, parts.refined], parts.outputs
    clear = dict(fn=None, inputs=None, outputs=outputs, js=CLEAR % json.dumps(no_result(say('Segmenting', 'working'))))
    chosen = parts.gallery.select(answers.choose, None, [parts.image, parts.names], **settings)
    for start in (gr.on([parts.button.click, parts.names.submit], **clear), chosen.success(**clear)):
        run = start.then(None, js=SHOW % '#result').then(answers.segment, inputs, outputs, **model)
        run.failure(None, None, parts.message, js=FAILED % json.dumps(say(NO_ANSWER, 'mistake')))
        run.then(None, js=SHOW % '#result')
    switches = [parts.views, parts.refined]
    shown = parts.views.change(answers.show_views, switches, parts.seen, **dict(model, show_progress_on=parts.views))
    moved = parts.refined.change(answers.refine, switches, outputs, **model)
    shown.then(None, js=SHOW % '#views')
    moved.then(None, js=SHOW % '#result')
    parts.image.upload(answers.upload, parts.image, outputs, **settings)
    parts.image.clear(answers.remove, None, outputs, **settings)


def build_page(seg: OpenVocabInferencer, max_upload: float) -> gr.Blocks:
    """Build the page of a model. The environment variable ``GRADIO_TEMP_DIR`` sets the folder of uploads and results.

    Args:
        seg (OpenVocabInferencer): Model that segments the images.
        max_upload (float): Largest image file, in MB.

    Returns:
        gr.Blocks: Page, launched by :func:`mmseg_mvp.app.web.server.serve`. Its attribute ``answers`` has the visits.
    """
    answers = Answers(seg, Limits(max_upload, seg.max_pixels))
    with Page(title='MMSeg-MVP', analytics_enabled=False, delete_cache=CLEANING) as page:
        connect(Layout(seg, answers), answers)
        visit = gr.Textbox(visible=False)
        page.load(_visit_of, None, visit, api_visibility='private').then(None, visit, None, js=SIGNAL)
        page.load(None, js=ONE_MISTAKE)
    page.answers = answers
    return page


def _visit_of(request: gr.Request) -> str:
    return request.session_hash
