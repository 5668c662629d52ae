"""Display of results in notebooks."""
from base64 import b64encode
from html import escape

from .pictures import png
from .segmentation import Segmentation

SIDE = 400  # px: longest side of a picture in a list
SHOWN = 12  # pictures of a list


class Segmentations(list):
    """List of results that a notebook shows as pictures, 12 at most."""

    def _repr_html_(self) -> str:
        figures = [_figure(index, one) for index, one in enumerate(self[:SHOWN])]
        rest = f'<p>Shown are {SHOWN} of {len(self)} results.</p>' * (len(self) > SHOWN)
        return f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{"".join(figures)}</div>{rest}'


def _figure(index: int, result: Segmentation) -> str:
    data = b64encode(png(result.draw(), SIDE)).decode()
    name = escape(f'{index}: {result.path.name if result.path else ", ".join(result.present())}')
    return (f'<figure style="margin: 0"><img src="data:image/png;base64,{data}" alt="{name}">'
            f'<figcaption>{name}</figcaption></figure>')
