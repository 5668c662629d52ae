"""Serves the page of ``tools/app.py``, with no more than it needs open to the outside. Needs the extra ``web``."""
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mmseg_mvp.errors import UserError

from .inferencer import OpenVocabInferencer
from .web_page import THEME, build_page

MB = 10**6
ENVELOPE = MB  # bytes that a request may have beside the file in it
# Gradio's frontend runs inline scripts; whatever it would load from elsewhere is not needed.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'self'")
# The page is for its visitor alone: no tunnel to it, no record of what was done, no way in beside the page.
SETTINGS = dict(share=False, run_history=False, enable_monitoring=False, mcp_server=False, ssr_mode=False, inline=False,
                footer_links=[], theme=THEME, quiet=True, prevent_thread_lock=True)


class Guard:
    """ASGI middleware: requests have a largest size, and browsers load nothing from other hosts.

    Args:
        app (Callable): The ASGI application.
        max_bytes (int): Largest body of a request.
    """

    def __init__(self, app: Callable, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: dict, receive: Callable[[], Awaitable[dict]],
                       send: Callable[[dict], Awaitable[None]]) -> None:
        received = 0

        async def limited() -> dict:
            nonlocal received
            message = await receive()
            received += len(message.get('body', b''))
            if received > self.max_bytes:
                raise HTTPException(413, f'The request has more than {self.max_bytes} bytes.')
            return message

        async def with_policy(message: dict) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message['headers'], (b'content-security-policy', POLICY.encode())]
            await send(message)

        await self.app(scope, limited, with_policy)


def check_address(host: str, port: int) -> None:
    """See that the page can be served there, before a model is built for it.

    Raises:
        UserError: If the port is taken, or the host is not one of this machine.
    """
    if not 0 < port < 2**16:
        raise UserError(f'--port {port} is no port: give a number from 1 to 65535, such as 7860')
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ':' in host else socket.AF_INET).close()
    except OSError as error:
        reason = error.strerror.partition(' (')[0]
        raise UserError(f'{host}:{port} can\'t be listened on ({reason}): name another --port, or a --host that '
                        f'is an address of this machine') from error


def serve(seg: OpenVocabInferencer, host: str, port: int, max_upload: float) -> None:
    """Serve the page until the process is told to end.

    Uploads and results lie in a folder of this process, which goes with it.

    Args:
        seg (OpenVocabInferencer): Segments the images.
        host (str): Address to listen on; ``127.0.0.1`` keeps other machines out.
        port (int): To listen on.
        max_upload (float): Largest image file, in MB.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # through the end of the with block
    max_bytes = round(max_upload * MB)
    with TemporaryDirectory(prefix='mmseg_mvp_page_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder  # read when a page is built and when it is launched
        page = build_page(seg)
        try:
            page.queue(max_size=32).launch(
                server_name=f'[{host}]' if ':' in host else host, server_port=port, max_file_size=max_bytes,
                app_kwargs=dict(middleware=[Middleware(Guard, max_bytes=max_bytes + ENVELOPE)]), **SETTINGS)
            print(f'The page is at {page.local_url} (Ctrl+C ends it)', flush=True)
            page.block_thread()
        finally:
            page.close(verbose=False)
