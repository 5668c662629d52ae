"""The page of HTML: its figures are there, and no text of a result becomes markup."""
from html.parser import HTMLParser

import numpy as np
import pytest
from fixtures.suites import jobs_of, made

from mmseg_mvp.app.suites import page
from mmseg_mvp.app.suites.comparison import Line, own_lines
from mmseg_mvp.visualization.charts import BAR

EVIL = '<script>alert("x")</script>&<b>'


class Reader(HTMLParser):
    """Collects tags, attributes and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith('on') for name, _ in attrs)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def jobs(tmp_path):
    jobs = jobs_of(tmp_path, dict(name='a', config=EVIL, options={'model.x': EVIL}), dict(name='b', config='b.py'))
    made(jobs[0], {'mIoU': 12.345, EVIL: 1.}, classes=[dict(name=EVIL, iou=61.25, acc=None)], device=EVIL)
    return jobs


def test_text_is_escaped_and_figures_are_there(jobs, tmp_path):
    lines = [Line([EVIL], [11.], note=EVIL, differs=EVIL, results=own_lines(jobs)[0].results)]
    page.write(tmp_path / 'mine.html', lines, jobs)
    reader = Reader()
    reader.feed((tmp_path / 'mine.html').read_text())
    assert set(reader.tags) == set('html head meta title style body h1 h2 img table tr th td p details summary'.split())
    assert reader.texts.count(EVIL) >= 4 and '61.25' in reader.texts and '12.35' in ' '.join(reader.texts)
    assert reader.tags.count('h2') == 1  # the second job has no result


def test_no_result_makes_a_page_too(tmp_path, jobs):
    page.write(tmp_path / 'b.html', [], jobs[1:])
    assert 'no result with a figure yet' in (tmp_path / 'b.html').read_text()


def test_bars_are_as_long_as_their_figures():
    lines = [Line([str(ours)], [published], results=[[dict(metrics=dict(mIoU=ours), commit='c')]])
             for ours, published in ((80., 40.), (20., None))]
    pixels = page.draw_bars(lines).astype(int)
    lengths = []
    for colour in (BAR, page.PUBLISHED):
        channels = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
        runs = (np.abs(pixels - channels).max(axis=2) < 3).sum(axis=1)
        lengths.append(runs[:int(0.8 * len(runs))])  # above the legend
    longest = lengths[0].max()
    assert longest > 100 and abs(lengths[1].max() - longest / 2) < 9
    assert np.any(np.abs(lengths[0] - longest / 4) < 9)
