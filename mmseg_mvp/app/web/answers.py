"""Event handlers of the web page, see ``web/page.py``."""
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.apis.segmentation import Segmentation, save_picture
from mmseg_mvp.clip import LongName
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.modules.pamr import build_refinement
from mmseg_mvp.utils.progress import Listener, listening

from .examples import ShownExamples, with_examples
from .gallery import SCENES, SIZE, names_of, save_scene
from .limits import Limits, class_names, describe_repeated
from .model import knows, remember_features
from .style import say
from .visits import Task, Visits, new_folder, uploaded_path, without_folders

HIDDEN = gr.update(visible=False)


class Answers:
    """Event handlers of the page. Mistakes are returned as messages, without any result.

    The handlers that show a result return new values of the message, the picture, the mask, the table and the picture
    of the views.

    Args:
        seg (OpenVocabInferencer): Model that segments the images, one at a time.
        limits (Limits): Limits of images and names.
    """

    def __init__(self, seg: OpenVocabInferencer, limits: Limits) -> None:
        self.seg, self.limits, self.visits = seg, limits, Visits()
        self.examples = ShownExamples(limits, self.visits)
        self.refinement = seg.model.refinement or build_refinement('pamr')
        remember_features(seg.model)

    def upload(self, file: dict | None, request: gr.Request) -> tuple:
        """Handle another image: add it to the visit, check it, and remove the result of the one before."""
        self.visits.of(request).forget()
        try:
            path = uploaded_path(file)
            self.visits.note(request, path)
            self.limits.read(path)
        except UserError as error:
            return no_result(say(str(error), 'mistake'))
        return no_result()

    def remove(self, request: gr.Request) -> tuple:
        """Handle the removal of the image: remove its result."""
        self.visits.of(request).forget()
        return no_result()

    def choose(self, request: gr.Request, event: gr.EventData) -> tuple[str, str]:
        """Handle a click in the gallery: return the path of the drawing and its class names."""
        scene = draw_scene(SCENES[int(event.index)], 'test', SIZE)
        path = save_scene(scene, new_folder())
        self.visits.note(request, path)
        return str(path), names_of(self.seg, scene)

    def segment(self, file: dict | None, names: str, with_views: bool, refined: bool, request: gr.Request,
                progress: Callable = gr.Progress()) -> tuple:
        """Handle the button: segment the uploaded image.

        Args:
            file (dict, optional): Gradio's description of the image file.
            names (str): Class names, separated by commas.
            with_views (bool): True also draws the map of each prompt.
            refined (bool): True refines the borders.
            request (gr.Request): Request that identifies the visit.
            progress (Callable): Gradio's progress bar.
        """
        visit = self.visits.of(request)
        visit.forget()
        try:
            path = uploaded_path(file)
            self.visits.note(request, path)
            found, again = class_names(str(names))
            visit.task = Task(path, with_examples(found, visit.examples))
            return self._show(request, with_views, refined, progress, describe_repeated(again))
        except UserError as error:
            visit.forget()
            return no_result(say(str(error), 'mistake'))

    def refine(self, with_views: bool, refined: bool, request: gr.Request) -> tuple:
        """Handle the checkbox of the borders: compute the result on the page again, from the kept features."""
        visit = self.visits.of(request)
        visit.result = None
        if visit.task is None:
            return (gr.skip(), ) * 5
        try:
            return self._show(request, with_views, refined)
        except UserError as error:
            visit.forget()
            return no_result(say(str(error), 'mistake'))

    def show_views(self, with_views: bool, refined: bool, request: gr.Request) -> dict:
        """Handle the checkbox of the views: show those of the result on the page, without a new run, or hide them."""
        task = self.visits.of(request).task
        if not with_views or task is None:
            return HIDDEN
        try:
            return self._views(request, self._result(request, refined), task)
        except UserError:  # the image is gone
            return HIDDEN

    def _show(self, request: gr.Request, with_views: bool, refined: bool, progress: Callable | None = None,
              note: str = '') -> tuple:
        """Return the result of the visit's task."""
        visit = self.visits.of(request)
        task = visit.task
        out = self._result(request, refined, progress)
        if visit.task is not task:  # the visitor has chosen another image meanwhile, or left
            return no_result()
        views = self._views(request, out, task) if with_views else HIDDEN
        files = save_results(out, task.path.stem)
        self.visits.note(request, *files.values())
        return (say(note), gr.update(value=str(files['seg']), visible=True),
                gr.update(value=str(files['mask']), interactive=True), describe_mask(out), views)

    def _result(self, request: gr.Request, refined: bool, progress: Callable | None = None) -> Segmentation:
        """Return the result of the visit's task; from memory, if it is there."""
        visit = self.visits.of(request)
        if visit.result is not None:
            return visit.result
        task, shown = visit.task, [example.image for example in visit.examples.values()]
        image = Image.fromarray(self.limits.read(task.path))
        self.seg.model.refinement = self.refinement if refined else None
        with without_folders(*shown), self._naming_long_names(task.classes), listening(reporter(progress)):
            out = self.seg(image, classes=task.classes)
        if visit.task is task:
            self.visits.keep(request, out)
        return out

    def _views(self, request: gr.Request, out: Segmentation, task: Task) -> dict:
        """Draw the map of each prompt into a file of the visit, and return the new value of the picture."""
        if not self.seg.can_explain:
            return HIDDEN
        path = new_folder() / f'{task.path.stem}_views.png'
        save_picture(out.draw_views(), path)
        self.visits.note(request, path)
        return gr.update(value=str(path), visible=True)

    @contextmanager
    def _naming_long_names(self, names: Iterable[str]) -> Iterator[None]:
        """Say which class name is too long, without the words of CLIP."""
        try:
            yield
        except LongName as error:
            long = next((name for name in names if not knows(self.seg, name)), '')
            raise UserError(f'The class name "{long[:60]}{"..." * (len(long) > 60)}" is too long for this model: use '
                            f'fewer words.') from error


def no_result(message: str = '') -> tuple:
    """Return values of the page without a result."""
    return message, gr.update(value=None, visible=False), gr.update(value=None, interactive=False), '', HIDDEN


def reporter(progress: Callable | None) -> Listener:
    """Return a listener that shows in Gradio's progress bar the share of the encoded names, and the time left."""
    start = time.monotonic()

    def report(done: int, total: int) -> None:
        left = (time.monotonic() - start) / max(done, 1) * (total - done)
        progress(done / total, desc='Reading the class names' + f', about {left:.0f} s left' * (done > 0))

    return (lambda done, total: None) if progress is None else report  # Gradio's bar is False before its first step


def save_results(out: Segmentation, stem: str) -> dict[str, Path]:
    """Write the picture and the mask to a new folder in Gradio's; return the paths by kind."""
    folder = new_folder()
    files = {kind: folder / f'{stem}_{kind}.png' for kind in ('seg', 'mask')}
    out.save(files['seg'])
    out.save_mask(files['mask'])
    return files


def describe_mask(out: Segmentation) -> str:
    """Return an HTML table of the classes present: colour, name, value in the mask and share of the image."""
    areas = np.bincount(out.label_map.ravel(), minlength=len(out.classes))
    rows = [_row(out.colours[label], label, out.classes[label], areas[label] / out.label_map.size)
            for label in map(out.index, out.present())]
    heads = ''.join(f'<th scope="col">{title}</th>' for title in ('colour', 'class', 'value in the mask', 'share'))
    return f'<table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _row(colour: Sequence[int], label: int, name: str, share: float) -> str:
    swatch = f'<td><span style="background: rgb{tuple(map(int, colour))}">&emsp;&ensp;</span></td>'
    return f'<tr>{swatch}<td>{escape(name)}</td><td>{label}</td><td>{share:.1%}</td></tr>'
