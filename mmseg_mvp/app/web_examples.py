"""Part of the web page that adds a class by a region of a picture, see ``web_page.py``."""
from collections.abc import Mapping
from html import escape
from types import MappingProxyType

import gradio as gr

from mmseg_mvp.apis.example_folder import join_classes
from mmseg_mvp.apis.examples import Example
from mmseg_mvp.apis.images import read_image
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import load_vocabulary

from .web_uploads import Visits, told, uploaded_path, without_folders

Shown = Mapping[str, Example]  # name of a class -> its example, with the path of the upload
NO_EXAMPLES = MappingProxyType({})
MOST = 20  # classes by example in a visit
HELP = 'Click two opposite corners of an object, or one point in it. Then name it and add it to the classes.'


class ShownExamples:
    """Event handlers of the panel.

    Args:
        max_pixels (int): Largest number of pixels of a picture.
        visits (Visits): Files of each visit.
    """

    def __init__(self, max_pixels: int, visits: Visits) -> None:
        self.max_pixels, self.visits = max_pixels, visits

    def click(self, corners: list, event: gr.SelectData) -> tuple[list, str]:
        """Handle a click in the picture: keep the last two corners, each (x, y), and say them."""
        corners = [*corners, tuple(event.index)][-2:]
        return corners, describe_region(corners)

    def upload(self, file: dict, request: gr.Request) -> tuple[list, str]:
        """Handle another picture: add it to the visit, and forget the corners."""
        with told():
            self.visits.note(request, uploaded_path(file))
        return [], HELP

    def add(self, file: dict | None, name: str, corners: list, examples: Shown) -> tuple[Shown, str, list, str]:
        """Handle the button: add an example to those of the visit.

        Args:
            file (dict, optional): Gradio's description of the picture.
            name (str): Name of the class.
            corners (list): Two corners of a box or one point, (x, y); without them, the example is the whole picture.
            examples (Shown): Examples so far.

        Returns:
            tuple: The examples with the new one, their list, and the new corners and help.

        Raises:
            gr.Error: With the message of a UserError.
        """
        with told():
            if file is None:
                raise UserError('There is no picture of the class yet: upload one.')
            path = uploaded_path(file)
            names = list(load_vocabulary([str(name)]))
            if len(examples) >= MOST and names[0] not in examples:
                raise UserError(f'There are {MOST} examples, which is the limit: segment with these.')
            example = Example(path, **region_of(corners))
            with without_folders(path):
                example.region(*read_image(path, self.max_pixels).shape[:2])
            examples = {**examples, names[0]: example}
        return examples, describe_examples(examples), [], HELP

    def with_names(self, names: list[str], examples: Shown) -> list[str] | dict[str, list]:
        """Return the classes of names and examples; a name that both have is given by both."""
        if not examples:
            return names
        vocabulary = load_vocabulary(names) if names else {}
        return join_classes(vocabulary, {name: [example] for name, example in examples.items()})


def region_of(corners: list) -> dict:
    """Return the region of two corners, of one point or of none, as arguments of :class:`Example`."""
    if len(corners) < 2:
        return dict(point=corners[0]) if corners else {}
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*corners))
    return dict(box=(left, top, right + 1, bottom + 1))  # the corners are inside


def describe_region(corners: list) -> str:
    """Return a sentence for the corners so far."""
    kind, value = next(iter(region_of(corners).items()))
    return f'The {kind} is {", ".join(map(str, value))}. {HELP}'


def describe_examples(examples: Shown) -> str:
    """Return a list of the classes by example as HTML."""
    items = ''.join(f'<li>{escape(name)}</li>' for name in examples)
    return f'Classes by example:<ul>{items}</ul>'


def add_example_panel(answers: ShownExamples) -> gr.State:
    """Add the panel to the page.

    Args:
        answers (ShownExamples): Its event handlers.

    Returns:
        gr.State: Examples of the visit, kept by the server.
    """
    examples, corners = gr.State({}), gr.State([])
    with gr.Accordion('Show a class instead of naming it', open=False):
        picture = gr.Image(label='Picture of the class', sources=['upload', 'clipboard'], buttons=[], height=240,
                           elem_id='example')
        hint = gr.Markdown(HELP)
        name = gr.Textbox(label='Name of the class', max_lines=1)
        button = gr.Button('Add the class')
        listed = gr.HTML(elem_id='examples')
    settings = dict(preprocess=False, api_visibility='private')
    picture.select(answers.click, corners, [corners, hint], **settings)
    picture.upload(answers.upload, picture, [corners, hint], **settings)
    button.click(answers.add, [picture, name, corners, examples], [examples, listed, corners, hint], **settings)
    return examples
