"""Drawing on a picture of the web page, with a mouse or a finger."""
import base64
import io
from collections.abc import Sequence

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError

SIDE = 800  # pixels of the longer side of the shown picture
MOST_POINTS = 5000
Outline = list[tuple[float, float]]
STYLE = 'canvas { max-width: 100%; max-height: 320px; touch-action: none; cursor: crosshair; display: block }'
CANVAS = ('<canvas width="0" height="0" role="img" aria-label="Picture of the class, to draw on with a mouse or a '
          'finger"></canvas>')
# Positions are shares of the width and height. A stroke that stays within 6 pixels of the screen is a point.
ON_LOAD = '''
const canvas = () => element.querySelector('canvas'), picture = new Image();
let points = [], active = false;
function draw() {
    const area = canvas(), pen = area.getContext('2d');
    pen.drawImage(picture, 0, 0);
    if (!points.length) return;
    pen.beginPath();
    points.forEach(([x, y]) => pen.lineTo(x * area.width, y * area.height));
    if (points.length == 1) pen.arc(points[0][0] * area.width, points[0][1] * area.height, 6, 0, 7);
    if (!active) pen.closePath();
    pen.fillStyle = 'rgba(234, 88, 12, .45)'; pen.strokeStyle = '#c2410c'; pen.lineWidth = 3;
    if (!active) pen.fill();
    pen.stroke();
}
function at(event) {
    const box = canvas().getBoundingClientRect(), share = (value, size) => Math.min(Math.max(value / size, 0), .999999);
    return [share(event.clientX - box.left, box.width), share(event.clientY - box.top, box.height)];
}
function extent() {
    const box = canvas().getBoundingClientRect(), span = axis => {
        const values = points.map(point => point[axis]);
        return Math.max(...values) - Math.min(...values);
    };
    return Math.max(span(0) * box.width, span(1) * box.height);
}
picture.onload = () => {
    Object.assign(canvas(), {width: picture.naturalWidth, height: picture.naturalHeight});
    points = []; draw();
};
const show = () => { if (props.value) picture.src = props.value; };
watch('value', show); show();
element.addEventListener('pointerdown', event => {
    if (event.target != canvas() || active || !canvas().width) return;
    canvas().setPointerCapture(event.pointerId);
    active = true; points = [at(event)];
});
element.addEventListener('pointermove', event => { if (active) { points.push(at(event)); draw(); } });
const stop = () => {
    if (!active) return;
    active = false;
    if (points.length < 3 || extent() < 6) points = points.slice(0, 1);
    draw(); trigger('input', {outline: points});
};
element.addEventListener('pointerup', stop);
element.addEventListener('pointercancel', stop);
'''


def add_drawing() -> gr.HTML:
    """Add a picture to draw on. Data of its event ``input`` have an ``outline``."""
    return gr.HTML('', html_template=CANVAS, css_template=STYLE, js_on_load=ON_LOAD, elem_id='drawing')


def shown_picture(image: np.ndarray) -> str:
    """Return a picture, RGB, (H, W, 3) uint8, as the address of a smaller JPEG."""
    small, file = Image.fromarray(image), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, 'JPEG', quality=90)
    return f'data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}'


def read_outline(data: object) -> Outline:
    """Return the outline that a browser sent: points (x, y), 0 to 1.

    Raises:
        UserError: If the data are not 1 to :data:`MOST_POINTS` such points.
    """
    try:
        points = np.asarray(data, float)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not 0 < len(points) <= MOST_POINTS or not (
            (points >= 0) & (points < 1)).all():
        raise UserError('The outline cannot be read: draw it again.')
    return [tuple(point) for point in points.tolist()]


def outline_mask(outline: Outline, size: Sequence[int]) -> np.ndarray:
    """Fill an outline: 255 inside and on it, else 0, (H, W) uint8, for a picture of a size (H, W)."""
    corners = np.floor(np.asarray(outline) * size[::-1]).astype(np.int32)  # (N, 2), x and y
    return cv2.fillPoly(np.zeros(size, np.uint8), [corners], 255)
