"""Server of the page of ``tools/app.py``, with minimal access from outside. It needs the extra ``web``."""
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mmseg_mvp.apis.inferencer import OpenVocabInferencer
from mmseg_mvp.errors import UserError

from .page import build_page
from .style import STYLE, THEME

MB = 2**20  # as Gradio counts
ENVELOPE = MB  # bytes that a request may contain in addition to the file
# Gradio's frontend runs inline scripts. It works without resources from other hosts.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'self'")
# Privacy: no public tunnel, no history of runs, no monitoring, no other interface than the page.
SETTINGS = dict(share=False, run_history=False, enable_monitoring=False, mcp_server=False, ssr_mode=False, inline=False,
                footer_links=[], theme=THEME, css=STYLE, quiet=True, prevent_thread_lock=True,
                state_session_capacity=1000)


class Guard:
    """ASGI middleware that limits the size of requests and forbids browsers to load resources from other hosts.

    Args:
        app (Callable): ASGI application.
        max_bytes (int): Largest body of a request, in bytes.
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
    """Check that the server can listen on an address. Call it before building a model.

    Raises:
        UserError: If the port is invalid or in use, or the host is not an address of this machine.
    """
    if not 0 < port < 2**16:
        raise UserError(f'--port {port} is not a port: give a number from 1 to 65535, such as 7860')
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ':' in host else socket.AF_INET).close()
    except OSError as error:
        reason = error.strerror.partition(' (')[0]
        raise UserError(f'{host}:{port} can\'t be listened on ({reason}): name another --port, or a --host that '
                        f'is an address of this machine') from error


def serve(seg: OpenVocabInferencer, host: str, port: int, max_upload: float) -> None:
    """Serve the page until the process receives SIGINT or SIGTERM.

    Uploads and results are stored in a temporary folder, deleted at the end.

    Args:
        seg (OpenVocabInferencer): Model that segments the images.
        host (str): Address to listen on; ``127.0.0.1`` refuses other machines.
        port (int): Port to listen on.
        max_upload (float): Largest image file, in MB.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # lets the with block clean up
    max_bytes = round(max_upload * MB)
    with TemporaryDirectory(prefix='mmseg_mvp_page_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder  # Gradio reads it when the page is built and when it is launched
        page = build_page(seg, max_upload)
        try:
            page.queue(max_size=32).launch(
                server_name=f'[{host}]' if ':' in host else host, server_port=port, max_file_size=max_bytes,
                app_kwargs=dict(middleware=[Middleware(Guard, max_bytes=max_bytes + ENVELOPE)],
                                routes=[page.answers.visits.route()]), **SETTINGS)
            print(f'The page is at {page.local_url} (Ctrl+C ends it)', flush=True)
            page.block_thread()
        finally:
            page.close(verbose=False)
