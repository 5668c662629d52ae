"""Gallery of the web page: drawings with class names, to try the page without an image."""
import base64
import io
from pathlib import Path

import gradio as gr
from PIL import Image

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.clip import is_toy
from mmseg_mvp.datasets.toy.scenes import Scene, draw_scene

from .model import knows

SCENES = (5, 29, 23, 19)  # images of the toy world's test split
SIZE, THUMBNAIL = 256, 60  # pixels
REST = ('background', 'picture')  # names for the rest of an image; the first one that the CLIP knows is used
TRY = 'Or try a drawing:'
TRY_REAL = 'Or try a drawing of this program (photos suit this model better):'
STYLE = ('p { margin: 0 0 4px } button { padding: 0; margin: 0 8px 0 0; border: 1px solid currentColor; '
         'border-radius: 4px; overflow: hidden; cursor: pointer } img { display: block; margin: 0 }')
ON_LOAD = '''element.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (button) trigger('select', {index: Number(button.dataset.scene), value: null});
});'''


def names_of(seg: OpenVocabInferencer, scene: Scene) -> str:
    """Return the class names of a scene and one for the rest of it, separated by commas."""
    return ', '.join([*(thing.name for thing in scene.objects), *list(filter(lambda name: knows(seg, name), REST))[:1]])


def add_gallery(seg: OpenVocabInferencer) -> gr.HTML:
    """Add the gallery to the page. The data of its event ``select`` have the ``index`` of a scene in :data:`SCENES`."""
    toy = is_toy(seg.model.decode_head.classifier.clip)
    buttons = ''.join(_button(number, draw_scene(index, 'test', SIZE)) for number, index in enumerate(SCENES))
    return gr.HTML(f'<p>{TRY if toy else TRY_REAL}</p>{buttons}', css_template=STYLE, js_on_load=ON_LOAD,
                   elem_id='gallery')


def _button(number: int, scene: Scene) -> str:
    file = io.BytesIO()
    Image.fromarray(scene.image).resize((THUMBNAIL, THUMBNAIL)).save(file, 'PNG')
    names = ', '.join(thing.name for thing in scene.objects)
    data = base64.b64encode(file.getvalue()).decode()
    return (f'<button type="button" data-scene="{number}"><img width="{THUMBNAIL}" height="{THUMBNAIL}" '
            f'alt="Drawing: {names}" src="data:image/png;base64,{data}"></button>')


def save_scene(scene: Scene, folder: Path) -> Path:
    """Write the image of a scene as a PNG into a folder, and return its path."""
    path = folder / 'drawing.png'
    Image.fromarray(scene.image).save(path)
    return path
