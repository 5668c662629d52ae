"""Servers that answer, refuse, or say nothing: local ones, counted by the requests that they get."""
import socket
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import huggingface_hub
import pytest
import torch

from mmseg_mvp.utils import reach
from mmseg_mvp.utils.reach import check_checkpoint_address, check_pretrained, unreachable, unreachable_hub, web_address


@pytest.fixture
def server():
    """A server that answers 404 to HEAD and 502 to a proxy's CONNECT, and lists the requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append(self.path)
            self.send_error(404)

        def do_CONNECT(self):
            requests.append(self.path)
            self.send_error(502)

        def log_message(self, *args):
            pass

    with HTTPServer(('127.0.0.1', 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{found.server_port}', requests
        found.shutdown()


@pytest.fixture
def silent():
    """A server that accepts and says nothing."""
    with socket.create_server(('127.0.0.1', 0)) as found:
        yield f'http://127.0.0.1:{found.getsockname()[1]}'


def test_any_answer_counts(server):
    address, requests = server
    assert unreachable(f'{address}/weights.pt') is None and requests == ['/weights.pt']


def test_a_refused_connection_is_told():
    with socket.create_server(('127.0.0.1', 0)) as closed:
        port = closed.getsockname()[1]
    assert 'refused' in unreachable(f'http://127.0.0.1:{port}')


@pytest.mark.parametrize('ask', [unreachable, lambda address: unreachable_hub('owner/name')])
def test_a_server_that_says_nothing_is_left_in_time(monkeypatch, silent, ask):
    monkeypatch.setattr(reach, 'LIMIT', .1)
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', silent)
    before = time.monotonic()
    assert ask(silent) and time.monotonic() - before < 1


def test_the_proxy_of_the_environment_is_asked(monkeypatch, server):
    address, requests = server
    monkeypatch.setenv('https_proxy', address)
    monkeypatch.setenv('no_proxy', '')
    monkeypatch.setattr(urllib.request, '_opener', None)  # an earlier request may have read the environment
    assert '502' in unreachable('https://weights.example/a.pt') and requests == ['weights.example:443']


def test_offline_mode_of_the_hub_asks_no_server(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    with socket.create_server(('127.0.0.1', 0)) as server:
        monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', f'http://127.0.0.1:{server.getsockname()[1]}')
        assert 'ffline' in unreachable_hub('owner/name')
        server.settimeout(.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_addresses_of_mmengine_lead_to_the_web():
    assert web_address('torchvision://resnet101').startswith('https://download.pytorch.org/models/resnet101-')
    assert web_address('open-mmlab://resnet50_v1c').endswith('.pth')
    assert web_address('https://a.example/b.pth') == 'https://a.example/b.pth'
    assert [web_address(path) for path in ('b.pth', 's3://bucket/b.pth', 'torchvision://nothing')] == [None] * 3


def test_checkpoints_in_the_cache_need_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(reach, 'unreachable', lambda address: 'no network')
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    model[0].init_cfg = [dict(type='Normal'), dict(type='Pretrained', checkpoint='https://a.example/b.pth')]
    for ask in (lambda: check_checkpoint_address('https://a.example/b.pth'), lambda: check_pretrained(model)):
        with pytest.raises(ConnectionError, match='https://a.example/b.pth is out of reach, no network.*checkpoints'):
            ask()
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'b.pth').touch()
    check_checkpoint_address('https://a.example/b.pth')
    check_pretrained(model)
