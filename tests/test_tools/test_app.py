"""The web page, in a real browser and against a visitor who means harm."""
import io
import json
import re
import socket
import time
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from fixtures.browser import chromium, page_server
from fixtures.tools import TOOLS, load_tool
from PIL import Image
from playwright.sync_api import expect

from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

expect.set_options(timeout=30_000)
HOSTILE = '<img src=x onerror="document.title=1">${document.title=2}{{3}}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Of the server's temporary files."""
    return tmp_path_factory.mktemp('page') / 'tmp'


@pytest.fixture(scope='module')
def url(folder):
    with page_server(folder, '--clip', 'toy-rn:toy', '--max-pixels', '90000', '--max-upload-mb', '0.5') as url:
        yield url


@pytest.fixture(scope='module')
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, url):
    """The page in a fresh visit; nothing of it comes from another host, and no script of it fails."""
    with browser.new_context(viewport=dict(width=1080, height=760)) as visit:
        page = visit.new_page()
        requests, failures = [], []
        page.on('request', lambda request: requests.append(request.url))
        page.on('pageerror', lambda error: failures.append(error))
        page.goto(url)
        expect(page.get_by_role('button', name='Segment')).to_be_visible()
        yield page
        assert [one for one in requests if not one.startswith((f'{url}/', 'data:', 'blob:'))] == []
        assert failures == []


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A file of the toy world with a rocket, a lamp and a flower."""
    path = tmp_path_factory.mktemp('scene') / 'scene.png'
    Image.fromarray(draw_scene(5, 'test', 128).image).save(path)
    return path


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


def upload(page, path):
    """Upload a file and wait until it has arrived."""
    with page.expect_response('**/upload?*'):
        page.set_input_files('input[type=file]', path)
    expect(page.get_by_label('Remove Image').or_(page.get_by_label('Clear'))).to_be_visible()


def segment(page, names):
    """Press the button and wait for a new picture, whose pixels are returned, (H, W, 3) uint8."""
    picture = page.locator('#picture img')
    before = picture.get_attribute('src') if picture.count() else None
    page.get_by_label('Classes').fill(names)
    page.get_by_role('button', name='Segment').click()
    page.wait_for_function('old => { const img = document.querySelector("#picture img");'
                           ' return img && img.src != old && img.complete }', arg=before)
    return np.asarray(Image.open(io.BytesIO(httpx.get(picture.get_attribute('src')).content)))


def table(page):
    """Cells of the table's rows without the colours."""
    return [row.locator('td').all_inner_texts()[1:] for row in page.locator('#table tbody tr').all()]


def complaint(page):
    """The sentence that the page shows."""
    toast = page.get_by_test_id('toast-body')
    expect(toast).to_be_visible()
    return ' '.join(toast.inner_text().split())


@pytest.mark.slow
def test_a_visitor_sees_what_the_inferencer_computes(page, scene, seg):
    upload(page, scene)
    seen = {}
    for names in ('rocket, lamp, flower', 'key, boat, rocket'):
        out = seg(scene, classes=names)
        assert np.array_equal(segment(page, names), out.draw())
        shares = [f'{(out.label_map == out.index(name)).mean():.1%}' for name in out.present()]
        assert table(page) == [[name, str(out.index(name)), share] for name, share in zip(out.present(), shares)]
        shot = Image.open(io.BytesIO(page.locator('#picture img').screenshot())).convert('RGB')
        wanted = Image.fromarray(out.draw()).resize(shot.size)
        seen[names] = np.asarray(shot, float)
        assert np.abs(seen[names] - np.asarray(wanted))[40:].mean() < 4  # the page's buttons lie over the top
    assert np.abs(seen['rocket, lamp, flower'] - seen['key, boat, rocket']).mean() > 10


@pytest.mark.slow
def test_the_mask_is_downloaded(page, scene, seg):
    expect(page.get_by_text('Download the mask')).to_be_disabled()
    upload(page, scene)
    segment(page, 'rocket, lamp, flower')
    with page.expect_download() as download:
        page.get_by_text('Download the mask').click()
    assert download.value.suggested_filename == 'scene_mask.png'
    mask = Image.open(download.value.path())
    assert mask.mode == 'P'
    assert np.array_equal(np.asarray(mask), seg(scene, classes='rocket, lamp, flower').label_map)


@pytest.mark.slow
def test_a_class_is_shown_instead_of_named(page, scene, seg, tmp_path):
    path = tmp_path / 'shown.png'
    Image.fromarray(draw_scene(7, 'test', 288).image).save(path)  # larger than it is shown
    upload(page, scene)
    page.get_by_text('Show a class instead of naming it').click()
    with page.expect_response('**/upload?*'):
        page.set_input_files('#example input[type=file]', path)
    picture = page.locator('#example img')
    expect(picture).to_be_visible()
    for corner, said in ((.25, 'The point is'), (.75, 'The box is')):
        size = picture.bounding_box()
        picture.click(position=dict(x=size['width'] / 2 + (corner - .5) * size['height'], y=corner * size['height']))
        hint = page.get_by_text(said)
        expect(hint).to_be_visible()
    box = [int(value) for value in re.findall(r'\d+', hint.inner_text())]
    assert np.abs(np.subtract(box, (72, 72, 217, 217))).max() <= 3  # the picture fills the height
    page.get_by_label('Name of the class').fill('my thing')
    page.get_by_role('button', name='Add the class').click()
    expect(page.locator('#examples li')).to_have_text('my thing')
    classes = {'lamp': 'lamp', 'flower': 'flower', 'my thing': Example(path, box=box)}
    out = seg(scene, classes)
    assert np.array_equal(segment(page, 'lamp, flower'), out.draw())
    assert [row[0] for row in table(page)] == out.present()


@pytest.mark.slow
def test_views_come_and_go(page, scene):
    views, switch = page.locator('#views img'), page.get_by_label('Show the map of each prompt')
    switch.check()  # too early, which is no mistake
    expect(views).to_have_count(0)
    switch.uncheck()
    upload(page, scene)
    segment(page, 'rocket, lamp')
    expect(views).to_have_count(0)
    switch.check()
    expect(views).to_be_visible()
    assert views.evaluate('img => img.naturalHeight') > 300  # two classes, one below the other
    switch.uncheck()
    expect(views).to_have_count(0)
    expect(page.get_by_test_id('toast-body')).to_have_count(0)


@pytest.mark.slow
def test_mistakes_are_told_in_a_sentence(page, scene, tmp_path):
    button = page.get_by_role('button', name='Segment')
    button.click()
    assert 'There is no image yet' in complaint(page)
    for name, content, names, expected in (
            ('broken.png', b'no image at all', 'rocket, lamp', 'Image broken.png cannot be read'),
            ('cut.png', scene.read_bytes()[:3000], 'rocket, lamp', 'Image cut.png cannot be read'),
            ('wide.png', white(301, 300), 'rocket, lamp', 'Image wide.png has 301 x 300 = 90300 pixels'),
            ('whole.png', scene.read_bytes(), 'rocket', 'A single class'),
            ('whole.png', scene.read_bytes(), f'rocket, {HOSTILE}', 'a photo of a <img src=x onerror=')):
        page.reload()
        (tmp_path / name).write_bytes(content)
        upload(page, tmp_path / name)
        page.get_by_label('Classes').fill(names)
        button.click()
        assert expected in complaint(page)
        assert str(tmp_path) not in complaint(page)
    assert page.title() == 'MMSeg-MVP'


def white(width, height):
    """A white image as PNG."""
    file = io.BytesIO()
    Image.new('RGB', (width, height), 'white').save(file, 'PNG')
    return file.getvalue()


@pytest.mark.slow
def test_a_large_file_is_refused_before_it_travels(page, tmp_path):
    (tmp_path / 'large.png').write_bytes(bytes(500_001))
    page.set_input_files('input[type=file]', tmp_path / 'large.png')
    assert 'maximum' in complaint(page)


@pytest.mark.slow
def test_names_are_no_html(page, scene):
    upload(page, scene)
    segment(page, f'{HOSTILE} = rocket, flower')
    assert HOSTILE in [name for name, *_ in table(page)]
    assert page.locator('img[src=x]').count() == 0 and page.title() == 'MMSeg-MVP'


@pytest.mark.slow
def test_uploads_end_with_the_visit(page, scene, folder):
    wait_for_no_file(folder)  # those of the tests before
    upload(page, scene)
    segment(page, 'rocket, flower')
    assert {path.name for path in files(folder)} == {'scene.png', 'scene_seg.png', 'scene_mask.png'}
    page.goto('about:blank')
    wait_for_no_file(folder)


def files(folder):
    return [path for path in folder.glob('mmseg_mvp_page_*/**/*') if path.is_file()]


def wait_for_no_file(folder):
    deadline = time.monotonic() + 60
    while files(folder):
        assert time.monotonic() < deadline, files(folder)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize('path', ['/etc/hostname', str(TOOLS / 'app.py'), 'tools/app.py', '../../../../etc/hostname',
                                  'http://127.0.0.1:1/secret'])
def test_no_file_of_the_server_is_served(url, path):
    for address in (f'file={path}', f'file/{path}', f'file={quote(path, safe="")}', f'proxy={path}'):
        assert httpx.get(f'{url}/gradio_api/{address}').status_code in (400, 403, 404), address


@pytest.mark.slow
@pytest.mark.parametrize('file', [dict(path='/etc/hostname'), dict(path='tools/app.py'),
                                  dict(path='http://127.0.0.1:1/x'), dict(path='x', url='http://127.0.0.1:1/x')])
@pytest.mark.parametrize('marks', [dict(meta=dict(_type='gradio.FileData')), {}])
def test_no_path_of_a_client_is_read(url, file, marks, folder):
    """Whatever a client claims to have uploaded, the answer is an error, and nothing is fetched or copied."""
    wait_for_no_file(folder)
    event = next(one['id'] for one in httpx.get(f'{url}/config').json()['dependencies'] if len(one['inputs']) == 4)
    data = [dict(orig_name='x.png', **file, **marks), 'rocket, lamp', False, False]
    body = dict(data=data, fn_index=event, session_hash='harm')
    httpx.post(f'{url}/gradio_api/queue/join', json=body).raise_for_status()
    with httpx.stream('GET', f'{url}/gradio_api/queue/data', params=dict(session_hash='harm')) as stream:
        told = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith('data:')]
    assert [one['success'] for one in told if one['msg'] == 'process_completed'] == [False]
    assert not files(folder)


@pytest.mark.slow
def test_nothing_is_told_or_recorded(url):
    config = httpx.get(f'{url}/config').json()
    assert config['analytics_enabled'] is config['run_history'] is False
    assert httpx.get(f'{url}/monitoring').status_code == httpx.get(f'{url}/monitoring/summary').status_code == 403
    assert httpx.get(f'{url}/gradio_api/info').json() == dict(named_endpoints={}, unnamed_endpoints={})


@pytest.mark.slow
def test_requests_have_a_largest_size(url):
    """Of an upload as of any other request, whether it says its size or not."""
    large = bytes(2**21)
    assert httpx.post(f'{url}/gradio_api/upload', files=dict(files=large)).status_code == 413
    assert httpx.post(f'{url}/gradio_api/queue/join', content=large).status_code == 413
    assert httpx.post(f'{url}/gradio_api/queue/join', content=iter([large])).status_code == 413


def test_mistakes_are_found_before_a_model_is_built(monkeypatch):
    tool = load_tool('app.py')
    monkeypatch.setattr('mmseg_mvp.app.arguments.OpenVocabInferencer', None)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = str(listener.getsockname()[1])
        for arguments, sentence in ((['--port', port], f'127.0.0.1:{port} can\'t be listened on .*--port'),
                                    (['--port', '70000'], '--port 70000 is not a port'),
                                    (['--host', '203.0.113.1'], '203.0.113.1:7860 can\'t be .* --host'),
                                    (['--max-upload-mb', '0'], '--max-upload-mb is 0.0'),
                                    (['--max-upload-mb', 'nan'], '--max-upload-mb is nan'),
                                    (['--clip', 'toy-rn', '--port', '7000'], '--clip toy-rn is not MODEL:WEIGHTS')):
            monkeypatch.setattr('sys.argv', ['app.py', *arguments])
            with pytest.raises(UserError, match=sentence):
                tool.main()


def test_without_gradio_the_extra_is_named(monkeypatch):
    tool = load_tool('app.py')
    monkeypatch.delitem(__import__('sys').modules, 'mmseg_mvp.app.web_server', raising=False)
    monkeypatch.delitem(__import__('sys').modules, 'mmseg_mvp.app.web_page', raising=False)
    monkeypatch.setitem(__import__('sys').modules, 'gradio', None)
    monkeypatch.setattr('sys.argv', ['app.py'])
    with pytest.raises(UserError, match='gradio.*host,web'):
        tool.main()
