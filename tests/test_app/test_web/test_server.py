"""What the page's server lets in and out."""
import asyncio
import socket

import pytest
from starlette.exceptions import HTTPException

from mmseg_mvp.app.web.server import Guard, check_address
from mmseg_mvp.errors import UserError


def answer(chunks, max_bytes):
    """What an application that echoes its request says to one of these chunks, behind the guard."""
    incoming, sent = [dict(type='http.request', body=chunk, more_body=True) for chunk in chunks], []
    incoming.append(dict(type='http.request', body=b'', more_body=False))

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    async def echo(scope, receive, send):
        body, more = b'', True
        while more:
            message = await receive()
            body, more = body + message['body'], message['more_body']
        await send(dict(type='http.response.start', status=200, headers=[(b'x', b'y')]))
        await send(dict(type='http.response.body', body=body))

    asyncio.run(Guard(echo, max_bytes)(dict(type='http'), receive, send))
    return sent


def test_requests_up_to_the_limit_pass_unchanged():
    start, body = answer([b'abc', b'de'], max_bytes=5)
    assert body['body'] == b'abcde' and start['status'] == 200 and (b'x', b'y') in start['headers']


def test_a_request_is_cut_off_where_it_passes_the_limit():
    with pytest.raises(HTTPException) as caught:
        answer([b'abc', b'def'], max_bytes=5)
    assert caught.value.status_code == 413


def test_browsers_are_told_to_load_nothing_from_elsewhere():
    start, _ = answer([], max_bytes=5)
    rules = dict(rule.split(' ', 1) for rule in dict(start['headers'])[b'content-security-policy'].decode().split('; '))
    assert rules['default-src'] == "'self'"
    assert not any('*' in sources or 'http' in sources for sources in rules.values())


def test_an_open_port_is_accepted_and_stays_open():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    check_address('127.0.0.1', port)
    check_address('127.0.0.1', port)


@pytest.mark.parametrize('port', [-1, 0, 65536])
def test_numbers_that_are_no_ports(port):
    with pytest.raises(UserError, match=f'--port {port} is not a port: give a number from 1 to 65535'):
        check_address('127.0.0.1', port)


def test_a_taken_port_and_a_strange_host_are_told():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f'127.0.0.1:{port} can\'t be listened on .Address already in use.: '
                                            f'.*another --port'):
            check_address('127.0.0.1', port)
    with pytest.raises(UserError, match='203.0.113.1:7860 can\'t be listened on .* --host'):
        check_address('203.0.113.1', 7860)
