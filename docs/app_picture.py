"""Draw docs/images/app.png, the page in Chromium: python docs/app_picture.py; it needs the extra ``tests``."""
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
URL = 'http://127.0.0.1:7866'


def wait_for_server() -> None:
    """Wait until the page is served."""
    for _ in range(240):  # two minutes
        try:
            urllib.request.urlopen(URL).close()
            return
        except OSError:
            time.sleep(.5)
    sys.exit('error: the page does not start')


def main() -> None:
    server = subprocess.Popen([sys.executable, str(ROOT / 'tools/app.py'), '--clip', 'toy-rn:toy', '--device', 'cpu',
                               '--port', URL.rpartition(':')[2]])
    try:
        wait_for_server()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox'])
            page = browser.new_page(viewport=dict(width=820, height=824), device_scale_factor=1.25)
            page.goto(URL)
            page.get_by_role('button', name='Drawing').first.click()
            page.locator('#picture img').wait_for()
            page.mouse.move(5, 5)
            page.wait_for_timeout(1000)  # until Gradio's transitions end
            page.screenshot(path=ROOT / 'docs/images/app.png')
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == '__main__':
    main()
