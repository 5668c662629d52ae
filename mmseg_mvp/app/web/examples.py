"""Part of the web page that adds a class by a region of a picture, see ``web/page.py``."""
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from mmseg_mvp.apis.example_folder import join_classes
from mmseg_mvp.apis.examples import Example
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import load_vocabulary

from .drawing import add_drawing, outline_mask, read_outline, shown_picture
from .limits import Limits
from .style import say
from .visits import Visit, Visits, new_folder, uploaded_path, without_folders

MOST = 20  # classes by example in a visit
HELP = 'Draw around an object of the class, tap one point in it, or type a box.'
EMPTY = 'Upload a picture of the class, mark an object in it, and name it.'


class ShownExamples:
    """Event handlers of the panel. Mistakes are returned as messages.

    Args:
        limits (Limits): Limits of a picture.
        visits (Visits): Files, pictures and examples of each visit.
    """

    def __init__(self, limits: Limits, visits: Visits) -> None:
        self.limits, self.visits = limits, visits

    def upload(self, file: dict, request: gr.Request) -> tuple:
        """Handle another picture: return its view, the message and an empty box."""
        visit = self.visits.of(request)
        visit.picture, visit.outline = None, []
        try:
            path = uploaded_path(file)
            visit.files.add(path)
            view = shown_picture(self.limits.read(path))
        except UserError as error:
            return gr.update(visible=False), say(str(error), 'mistake'), ''
        visit.picture = path
        return gr.update(value=view, visible=True), say(HELP), ''

    def draw(self, event: gr.EventData, request: gr.Request) -> tuple[str, str]:
        """Handle a stroke in the picture: keep it, and return the message and an empty box."""
        visit = self.visits.of(request)
        try:
            visit.outline = read_outline(event._data.get('outline'))
        except UserError as error:
            return say(str(error), 'mistake'), ''
        kind = 'One point is' if len(visit.outline) == 1 else 'The inside of the line is'
        return say(f'{kind} the example. Draw again to change it.'), ''

    def add(self, name: str, box: str, request: gr.Request) -> tuple:
        """Handle the button: add an example to those of the visit.

        Args:
            name (str): Name of the class.
            box (str): Box as text, which has priority over the drawing; empty without a box.
            request (gr.Request): Request that identifies the visit.

        Returns:
            tuple: The list of the classes, the message, and new values of the name and the box.
        """
        visit = self.visits.of(request)
        try:
            added = self._add(visit, str(name), str(box))
        except UserError as error:
            return gr.skip(), say(str(error), 'mistake'), gr.skip(), gr.skip()
        return describe_examples(visit.examples), say(f'Added the class {added}.'), '', ''

    def _add(self, visit: Visit, name: str, box: str) -> str:
        """Add an example to a visit and return its name."""
        if visit.picture is None:
            raise UserError('There is no picture of the class yet: upload one.')
        if not name.strip():
            raise UserError('The class has no name yet: type one.')
        name = next(iter(load_vocabulary([name])))
        if len(visit.examples) >= MOST and name not in visit.examples:
            raise UserError(f'There are {MOST} classes by example, which is the limit: segment with these.')
        size = self.limits.read(visit.picture).shape[:2]
        with without_folders(visit.picture):
            visit.examples[name] = self._example(visit, size, read_box(box))
        return name

    def _example(self, visit: Visit, size: tuple[int, int], box: tuple[float, ...] | None) -> Example:
        """Return the example of a box, else of the outline, in the picture of a size (H, W)."""
        if box is None and not visit.outline:
            raise UserError('The object is not marked yet: draw around it, tap one point in it, or type a box.')
        if box is None and len(visit.outline) > 1:
            return Example(visit.picture, mask=save_mask(outline_mask(visit.outline, size), visit))
        point = None if box else tuple(np.multiply(visit.outline[0], size[::-1]).tolist())
        example = Example(visit.picture, box=box, point=point)
        example.region(*size)  # refuses a box outside
        return example

    def remove(self, request: gr.Request) -> tuple[str, str]:
        """Handle the other button: remove all classes by example."""
        self.visits.of(request).examples.clear()
        return describe_examples({}), say('Removed the classes by example.')


def with_examples(names: list[str], examples: Mapping[str, Example]) -> list[str] | dict[str, list]:
    """Return the classes of names and examples; a name that both have is given by both."""
    if not examples:
        return names
    vocabulary = load_vocabulary(names) if names else {}
    return join_classes(vocabulary, {name: [example] for name, example in examples.items()})


def read_box(text: str) -> tuple[float, ...] | None:
    """Read a box, such as ``10, 20, 90, 80``; None for an empty text. Raise UserError for other texts."""
    if not text.strip():
        return None
    numbers = re.findall(r'[^\s,;]+', text)
    try:
        left, top, right, bottom = map(float, numbers)
    except ValueError as error:
        raise UserError(f'The box "{text[:40]}" is not four numbers: type left, top, right and bottom in pixels, such '
                        f'as 10, 20, 90, 80.') from error
    return left, top, right, bottom


def save_mask(mask: np.ndarray, visit: Visit) -> Path:
    """Write a mask (H, W) uint8 as a file of a visit, and return its path."""
    path = new_folder() / 'mask.png'
    Image.fromarray(mask).save(path)
    visit.files.add(path)
    return path


def describe_examples(examples: Mapping[str, Example]) -> str:
    """Return a list of the classes by example as HTML."""
    items = ''.join(f'<li>{escape(name)}</li>' for name in examples)
    return f'Classes by example:<ul>{items}</ul>' if items else ''


def add_example_panel(answers: ShownExamples) -> None:
    """Add the panel to the page."""
    with gr.Accordion('Show a class instead of naming it', open=False):
        upload = gr.UploadButton('Upload a picture of the class', file_types=['image'], elem_id='example')
        hint = gr.HTML(say(EMPTY), elem_id='hint')
        drawing = add_drawing()
        box = gr.Textbox(label='Or type a box in pixels: left, top, right, bottom', placeholder='10, 20, 90, 80',
                         max_lines=1)
        name = gr.Textbox(label='Name of the class', max_lines=1)
        with gr.Row():
            button, remove = gr.Button('Add the class'), gr.Button('Remove all')
        listed = gr.HTML(elem_id='examples')
    settings = dict(preprocess=False, api_visibility='private')
    upload.upload(answers.upload, upload, [drawing, hint, box], **settings)
    drawing.input(answers.draw, None, [hint, box], show_progress='hidden', **settings)
    button.click(answers.add, [name, box], [listed, hint, name, box], **settings)
    name.submit(answers.add, [name, box], [listed, hint, name, box], **settings)
    remove.click(answers.remove, None, [listed, hint], **settings)
