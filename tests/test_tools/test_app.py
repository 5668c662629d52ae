"""The web page, in a real browser and against a visitor who means harm."""
import io
import json
import re
import socket
import time
from contextlib import contextmanager
from itertools import product
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from fixtures.browser import chromium, page_server
from fixtures.tools import TOOLS, load_tool
from PIL import Image
from playwright.sync_api import expect

from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

expect.set_options(timeout=30_000)
DESKTOP, PHONE = dict(width=1080, height=760), dict(width=375, height=667)
HOSTILE = '<img src=x onerror="document.title=1">${document.title=2}{{3}}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Of the server's temporary files."""
    return tmp_path_factory.mktemp('page') / 'tmp'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """MaskCLIP on the toy world with 85 sentences for each name, as with a real CLIP."""
    path = tmp_path_factory.mktemp('config') / 'toy.py'
    path.write_text(f"_base_ = '{TOOLS.parent}/configs/maskclip/toy_zs.py'\n"
                    f"model = dict(decode_head=dict(prompts=dict(templates='maskclip')))\n")
    return path


@pytest.fixture(scope='module')
def url(folder, config):
    with page_server(folder, '--config', str(config), '--max-pixels', '90000', '--max-upload-mb', '0.5') as url:
        yield url


@pytest.fixture(scope='module')
def browser():
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser, url, **settings):
    """The page in a fresh visit; nothing of it comes from another host, and no script of it fails."""
    with browser.new_context(**dict(dict(viewport=DESKTOP), **settings)) as visit:
        page = visit.new_page()
        requests, failures = [], []
        page.on('request', lambda request: requests.append(request.url))
        page.on('pageerror', lambda error: failures.append(error))
        page.goto(url)
        expect(button(page)).to_be_visible()
        yield page
        assert [one for one in requests if not one.startswith((f'{url}/', 'data:', 'blob:'))] == []
        assert failures == []


@pytest.fixture
def page(browser, url):
    """The page on a desktop."""
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A file of the toy world with a rocket, a lamp and a flower."""
    path = tmp_path_factory.mktemp('scene') / 'scene.png'
    Image.fromarray(draw_scene(5, 'test', 128).image).save(path)
    return path


@pytest.fixture(scope='module')
def seg(config):
    return OpenVocabInferencer(config, device='cpu')


def button(page):
    """The button that segments."""
    return page.get_by_role('button', name='Segment', exact=True)


def upload(page, path):
    """Upload a file and wait until the server has checked it, which empties the message."""
    page.set_input_files('#image input[type=file]', path)
    expect(page.locator('#image').get_by_label('Remove Image').or_(page.locator('#image').get_by_label('Clear'))
           ).to_be_visible()
    expect(page.get_by_text('The result appears here.')).to_have_count(0)


def segment(page, names):
    """Press the button and wait for a new picture, whose pixels are returned, (H, W, 3) uint8."""
    picture = page.locator('#picture img')
    before = picture.get_attribute('src') if picture.count() else None
    page.get_by_label('Classes').fill(names)
    button(page).click()
    return seen(page, before)


def seen(page, before=None):
    """Wait for a picture other than the one before; its pixels, (H, W, 3) uint8."""
    page.wait_for_function('old => { const img = document.querySelector("#picture img");'
                           ' return img && img.src != old && img.complete }', arg=before)
    return np.asarray(Image.open(io.BytesIO(httpx.get(page.locator('#picture img').get_attribute('src')).content)))


def table(page):
    """Cells of the table's rows without the colours."""
    return [row.locator('td').all_inner_texts()[1:] for row in page.locator('#table tbody tr').all()]


def complaint(page, words):
    """The sentence with these words, which the page shows alone and without any result."""
    alert = page.get_by_role('alert')
    expect(alert).to_contain_text(words)
    expect(alert).to_have_count(1)
    expect(page.locator('#picture')).to_have_count(0)
    expect(page.locator('#views')).to_have_count(0)
    expect(page.locator('#table table')).to_have_count(0)
    expect(page.get_by_text('Download the mask')).to_be_disabled()
    return ' '.join(alert.inner_text().split())


def in_sight(page, locator):
    """True if the upper half of an element is in the window."""
    box = locator.bounding_box()
    return 0 <= box['y'] and box['y'] + box['height'] / 2 <= page.viewport_size['height']


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
@pytest.mark.parametrize('width', [1080, 375])
def test_a_class_is_shown_instead_of_named(browser, url, scene, seg, tmp_path, width):
    path = tmp_path / 'shown.png'
    Image.fromarray(draw_scene(7, 'test', 288).image).save(path)
    with opened(browser, url, viewport=dict(width=width, height=760), has_touch=width == 375) as page:
        upload(page, scene)
        page.get_by_text('Show a class instead of naming it').click()
        with page.expect_file_chooser() as chooser:
            page.get_by_role('button', name='Upload a picture of the class').click()
        chooser.value.set_files(path)
        expect(page.get_by_text('Draw around an object')).to_be_visible()
        picture = page.locator('#drawing canvas')
        picture.scroll_into_view_if_needed()
        stroke(page, picture, touch=width == 375)
        expect(page.get_by_text('The inside of the line')).to_be_visible()
        page.get_by_label('Name of the class').fill('my thing')
        page.get_by_role('button', name='Add the class').click()
        expect(page.locator('#examples li')).to_have_text('my thing')
        mask = np.zeros((288, 288), bool)
        mask[72:216, 72:216] = True
        out = seg(scene, {'lamp': 'lamp', 'flower': 'flower', 'my thing': Example(path, mask=mask)})
        segment(page, 'lamp, flower')
        with page.expect_download() as download:
            page.get_by_text('Download the mask').click()
        found = np.asarray(Image.open(download.value.path()))
        assert (found == out.label_map).mean() > .99  # the outline is drawn by hand
        assert [row[0] for row in table(page)] == out.present()


def stroke(page, picture, touch):
    """Draw around the middle of a square picture, half as wide, with a mouse or a finger."""
    box = picture.bounding_box()
    corners = [(box['x'] + x * box['width'], box['y'] + y * box['height'])
               for x, y in ((.25, .25), (.75, .25), (.75, .75), (.25, .75))]
    if touch:
        finger = page.context.new_cdp_session(page)
        for kind, points in (('Start', corners[:1]), *(('Move', [corner]) for corner in corners[1:]), ('End', [])):
            finger.send('Input.dispatchTouchEvent',
                        dict(type=f'touch{kind}', touchPoints=[dict(x=x, y=y) for x, y in points]))
        return
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()


@pytest.mark.slow
def test_views_come_and_go(page, scene):
    views, switch = page.locator('#views img'), page.get_by_label('Show the map of each prompt')
    switch.check()  # too early, which is no mistake
    expect(views).to_have_count(0)
    switch.uncheck()
    upload(page, scene)
    segment(page, 'rocket, lamp')
    picture = page.locator('#picture img').get_attribute('src')
    expect(views).to_have_count(0)
    switch.check()
    expect(views).to_be_visible()
    assert views.evaluate('img => img.naturalHeight') > 300  # two classes, one below the other
    switch.uncheck()
    expect(views).to_have_count(0)
    assert page.locator('#picture img').get_attribute('src') == picture  # not computed again
    expect(page.get_by_role('alert')).to_have_count(0)


@pytest.mark.slow
def test_mistakes_are_told_one_at_a_time_and_leave_no_result(page, scene, tmp_path):
    button(page).click()
    complaint(page, 'There is no image yet')
    for name, content, names, expected in (
            ('broken.png', b'no image at all', None, 'Image broken.png cannot be read'),
            ('cut.png', scene.read_bytes()[:3000], None, 'Image cut.png cannot be read'),
            ('wide.png', white(301, 300), None, 'Image wide.png has 301 x 300 = 90300 pixels, but the limit is 90000'),
            ('whole.png', scene.read_bytes(), 'rocket', 'A single class'),
            ('whole.png', scene.read_bytes(), f'rocket, {HOSTILE}', '<img src=x onerror=')):
        if page.locator('#image').get_by_label('Clear').or_(page.get_by_label('Remove Image')).count():
            page.locator('#image').get_by_label('Clear').or_(page.get_by_label('Remove Image')).click()
        (tmp_path / name).write_bytes(content)
        upload(page, tmp_path / name)
        if names:
            segment(page, 'rocket, lamp')
            page.get_by_label('Show the map of each prompt').check()
            expect(page.locator('#views img')).to_be_visible()
            page.get_by_label('Classes').fill(names)
            button(page).click()
        assert str(tmp_path) not in complaint(page, expected)
    page.route('**/queue/join*', lambda route: route.fulfill(status=503, json=dict(detail='Queue is full.')))
    button(page).click()
    complaint(page, 'The server gave no result')
    expect(page.get_by_test_id('toast-body')).to_have_count(0)  # of Gradio
    page.unroute('**/queue/join*')
    segment(page, 'rocket, lamp, Rocket')
    expect(page.get_by_role('alert')).to_have_count(0)
    expect(page.get_by_role('status').filter(has_text='counted once: "Rocket"')).to_be_visible()
    assert page.title() == 'MMSeg-MVP'


def white(width, height):
    """A white image as PNG."""
    file = io.BytesIO()
    Image.new('RGB', (width, height), 'white').save(file, 'PNG')
    return file.getvalue()


@pytest.mark.slow
def test_limits_model_and_device_are_told(page, tmp_path):
    expect(page.get_by_text('up to 0.5 MB and 90000 pixels, such as 300 x 300. Classes: 2 to 5000')).to_be_visible()
    expect(page.get_by_text('Model: MaskCLIP with 85 sentences per name, CLIP toy-rn (toy), on CPU.')).to_be_visible()
    button(page).click()
    complaint(page, 'There is no image yet')
    (tmp_path / 'large.png').write_bytes(bytes(2**19 + 1))
    (tmp_path / 'text.txt').write_text('text')
    toast = page.get_by_test_id('toast-body')
    for name, words in (('text.txt', 'Invalid file type'), ('large.png', 'maximum allowed size of 512.0 Kb')):
        page.set_input_files('#image input[type=file]', tmp_path / name)
        expect(toast).to_contain_text(words)  # before it travels
        expect(toast).to_have_text(re.compile(f'^((?!{"Invalid" if "512" in words else "maximum"}).)*$', re.DOTALL))
        expect(page.get_by_role('alert').and_(page.locator('.say'))).to_be_hidden()
    page.get_by_role('button', name='Drawing').first.click()
    seen(page)
    expect(toast).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize('settings', [dict(), dict(viewport=PHONE), dict(color_scheme='dark'),
                                      dict(viewport=PHONE, color_scheme='dark')],
                         ids=['desktop', 'phone', 'dark desktop', 'dark phone'])
def test_the_first_minute_is_accessible_and_in_sight(browser, url, settings):
    """A drawing of the gallery, its views, a mistake: axe-core finds nothing, and the news is in the window."""
    with opened(browser, url, **settings) as page:
        page.get_by_text('Show a class instead of naming it').click()
        assert violations(page) == []
        page.get_by_role('button', name='Drawing').nth(1).click()
        seen(page)
        assert [name for name, *_ in table(page)] == ['picture', 'house', 'rabbit']
        wait_until(lambda: in_sight(page, page.locator('#picture img')))
        page.get_by_label('Show the map of each prompt').check()
        expect(page.locator('#views img')).to_have_attribute('alt', re.compile('^Map of each prompt: .*house'))
        wait_until(lambda: page.locator('#views').bounding_box()['y'] < page.viewport_size['height'] / 2)
        assert violations(page) == []
        page.get_by_label('Classes').fill('house, zebra')
        button(page).click()
        complaint(page, 'zebra')
        wait_until(lambda: in_sight(page, page.get_by_role('alert')))
        assert violations(page) == []
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')


def violations(page):
    """Rules of axe-core that the page breaks, with the elements, except the minor ones."""
    found = Axe().run(page, options={'resultTypes': ['violations']}).response['violations']
    return [(rule['id'], rule['impact'], [node['html'][:200] for node in rule['nodes']]) for rule in found
            if rule['impact'] != 'minor']


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_the_keyboard_is_enough(page, tmp_path):
    def go_to(locator):
        for _ in range(40):
            if locator.evaluate('element => element == document.activeElement'):
                expect(locator).to_have_css('outline', 'rgb(234, 88, 12) solid 3px')
                return
            page.keyboard.press('Tab')
        raise AssertionError(f'Tab does not reach {locator}')

    path = tmp_path / 'scene.png'
    Image.fromarray(draw_scene(5, 'test', 128).image).save(path)
    with page.expect_file_chooser() as chooser:
        go_to(page.locator('#image button').first)
        page.keyboard.press('Enter')
    chooser.value.set_files(path)
    expect(page.get_by_text('The result appears here.')).to_have_count(0)
    go_to(page.get_by_role('button', name='Drawing').first)
    page.keyboard.press('Enter')
    seen(page)
    before = page.locator('#picture img').get_attribute('src')
    go_to(page.get_by_label('Classes'))
    page.keyboard.press('Control+A')
    page.keyboard.type('rocket, flower')
    page.keyboard.press('Enter')
    seen(page, before)
    go_to(page.get_by_label('Show the map of each prompt'))
    page.keyboard.press('Space')
    expect(page.locator('#views img')).to_be_visible()
    go_to(page.get_by_role('button', name='Show a class instead'))
    page.keyboard.press('Enter')
    with page.expect_file_chooser() as chooser:
        go_to(page.get_by_role('button', name='Upload a picture of the class'))
        page.keyboard.press('Enter')
    chooser.value.set_files(path)
    expect(page.get_by_text('Draw around an object')).to_be_visible()
    go_to(page.get_by_label('Or type a box'))
    page.keyboard.type('10, 10, 40, 40')
    page.keyboard.press('Tab')
    page.keyboard.type('thing')
    page.keyboard.press('Enter')
    expect(page.locator('#examples li')).to_have_text('thing')
    with page.expect_download():
        go_to(page.get_by_role('button', name='Download the mask'))
        page.keyboard.press('Enter')


@pytest.mark.slow
def test_many_pages_are_open_at_once(browser, url, scene):
    """A browser opens six connections to a server."""
    with browser.new_context() as visit:
        pages = [visit.new_page() for _ in range(8)]
        for page in pages:
            page.goto(url)
            expect(button(page)).to_be_visible()
        for page in pages[::-1]:
            page.bring_to_front()
            upload(page, scene)
            segment(page, 'rocket, lamp')


@pytest.mark.slow
def test_the_progress_of_many_names_is_shown(page, scene):
    words = 'red blue green house tree boat key lamp bird cup top big small fish hat car left'.split()
    names = [' '.join(two) for two in product(words, repeat=2)]
    upload(page, scene)
    page.get_by_label('Classes').fill(', '.join(names))
    button(page).click()
    expect(page.get_by_text(re.compile('Reading the class names'))).to_be_visible()
    seen(page)


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
    done, = [one for one in told if one['msg'] == 'process_completed']
    assert not done['success'] or 'not among the uploads' in done['output']['data'][0]
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
    monkeypatch.delitem(__import__('sys').modules, 'mmseg_mvp.app.web.server', raising=False)
    monkeypatch.delitem(__import__('sys').modules, 'mmseg_mvp.app.web.page', raising=False)
    monkeypatch.setitem(__import__('sys').modules, 'gradio', None)
    monkeypatch.setattr('sys.argv', ['app.py'])
    with pytest.raises(UserError, match=r'gradio.*\[web\]'):
        tool.main()
