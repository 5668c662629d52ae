"""Checkpoints from any address are read as data, and mmengine stays unchanged."""
import collections
import datetime
import enum
import functools
import io
import os
import random
import re
import threading
import uuid
import zipfile
from argparse import Namespace
from decimal import Decimal
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import addict
import numpy as np
import pytest
import torch
from fixtures.payloads import Payload, write_checkpoint
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, checkpoint, load_checkpoint
from mmengine.runner.checkpoint import get_external_models, get_mmcls_models, get_torchvision_models
from mmengine.structures import PixelData
from mmengine.utils import digit_version
from torch import nn

import mmseg_mvp  # noqa: F401
from mmseg_mvp import app
from mmseg_mvp.checkpoints import (
    checkpoints_as_data,
    encode_checkpoint,
    loading,
    read_checkpoint,
    read_file,
    trusted_checkpoints,
)
from mmseg_mvp.errors import UserError

TORCH = digit_version(torch.__version__)


class Kind(enum.Enum):
    A = 1


class Unknown:
    """A class that the reader does not know."""

    def __init__(self):
        self.part = [torch.ones(2)]


def quantized():
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def numbers(kind):
    return torch.ones(2).to(getattr(torch, kind))


# Objects that common checkpoints hold besides weights.
FOREIGN = {
    'namespace': Namespace(lr=0.1, path=Path('x')), 'simple namespace': SimpleNamespace(a=1), 'path': Path('/a/b'),
    'config': Config(dict(model=dict(type='A'))), 'settings': ConfigDict(a=dict(b=[1])), 'addict': addict.Dict(a=1),
    'default dict': collections.defaultdict(list, a=[1]), 'deque': collections.deque([1, 2], maxlen=3),
    'counter': collections.Counter('aab'), 'frozenset': frozenset({1, 'a'}), 'ordered': collections.OrderedDict(a=1),
    'datetime': datetime.datetime(2026, 1, 2), 'timezone': datetime.timezone(datetime.timedelta(hours=1)),
    'date': datetime.date(2026, 1, 2), 'timedelta': datetime.timedelta(3), 'text': np.str_('a'),
    'bytes': np.bytes_(b'a'), 'number': np.float64(0.1), 'date of numpy': np.datetime64('2026-01-02'),
    'texts': np.array(['a', 'bc']), 'structured': np.array([(1, 'a')], dtype=[('x', 'i4'), ('y', 'U2')]),
    'objects': np.array([{1}, None], dtype=object),
    'quantized': quantized(), 'sparse': torch.eye(2).to_sparse(), 'rows': torch.eye(2).to_sparse_csr(),
    'complex': numbers('complex64'), 'enum': Kind.A, 'class': Unknown, 'object': Unknown(), 'module': nn.Linear(2, 2),
    'decimal': Decimal('1.5'), 'fraction': Fraction(1, 3), 'uuid': uuid.UUID(int=3), 'pattern': re.compile('a+'),
    'function': torch.cat, 'method': HistoryBuffer.mean, 'partial': functools.partial(Unknown),
    'random': random.Random(0),
    'random of numpy': np.random.RandomState(0), 'generator of numpy': np.random.default_rng(0),
    'state of random': random.getstate(),
    'logs': HistoryBuffer([1.], [1]), 'pixels': PixelData(sem_seg=torch.ones(1, 2, 2)), 'range': range(3),
    'optimizer': torch.optim.SGD([torch.ones(1)], lr=0.1), 'slice': slice(1), 'sets': [{1}, {(2, 3)}],
    **{kind: numbers(kind) for kind in ('float8_e4m3fn', 'float8_e5m2') if TORCH >= digit_version('2.2')},
    **{kind: numbers(kind) for kind in ('uint16', 'uint32', 'uint64') if TORCH >= digit_version('2.4')},
}


def weights():
    return collections.OrderedDict(nn.Linear(2, 3).state_dict())


@pytest.fixture
def logged(monkeypatch):
    """Return the list of log messages."""
    texts = []
    monkeypatch.setattr(loading, 'print_log', lambda text, *_, **kwargs: texts.append(text))
    return texts


@pytest.fixture
def saved(tmp_path):
    """Return a function that writes a checkpoint and returns its path."""

    def save(content, **kwargs):
        torch.save(content, tmp_path / 'a.pth', **kwargs)
        return str(tmp_path / 'a.pth')

    return save


def load_from(path):
    """Return the weights of a model after ``load_from`` of a config."""
    model = nn.Linear(2, 3)
    load_checkpoint(model, path)
    return model.state_dict()


class Backbone(BaseModule):

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.weight, self.bias = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(3))


def pretrained(path):
    """Return the weights of a model component after ``init_cfg``."""
    model = Backbone(init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    return model.state_dict()


# Ways to read a checkpoint: our functions, and the host inside our tools.
WAYS = {'read_checkpoint': lambda path: read_checkpoint(path)['state_dict'], 'load_from': load_from,
        'init_cfg': pretrained}


def read(way, path):
    """Return the weights that are read in one of the WAYS."""
    if way == 'read_checkpoint':
        return WAYS[way](path)
    with checkpoints_as_data():
        return WAYS[way](path)


def assert_weights(found, expected):
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


class TestBesideWeights:

    @pytest.mark.parametrize('name', FOREIGN)
    def test_objects(self, saved, logged, name):
        state = weights()
        path = saved(dict(state_dict=state, meta=dict(object=FOREIGN[name], epoch=3), listed=[FOREIGN[name]]))
        for way in WAYS:
            assert_weights(read(way, path), state)
        assert read_checkpoint(path)['meta']['epoch'] == 3

    @pytest.mark.parametrize('name', FOREIGN)
    def test_objects_in_a_plain_checkpoint_of_ours(self, saved, name):
        state = weights()
        plain, _ = encode_checkpoint(dict(state_dict=state, meta=dict(object=FOREIGN[name])))
        path = saved(plain)
        for way in WAYS:
            assert_weights(read(way, path), state)

    def test_our_objects_are_restored(self, saved):
        meta = dict(folder=Path('x'), counts=collections.Counter('aab'))
        path = saved(encode_checkpoint(dict(state_dict=weights(), meta=meta))[0])
        assert read_checkpoint(path)['meta'] == meta
        with trusted_checkpoints():
            assert read_checkpoint(path)['meta'] == meta
        with checkpoints_as_data():
            assert load_checkpoint(nn.Linear(2, 3), path)['meta'] == meta
        assert type(load_checkpoint(nn.Linear(2, 3), path)['meta']['folder']) is str  # not restored by mmengine

    @pytest.mark.parametrize('zipped', [True, False])
    def test_numbers_of_numpy_in_both_formats(self, saved, zipped):
        state = weights()
        path = saved(dict(state_dict=state, meta=dict(best=np.float64(0.5), step=np.int64(3))),
                     _use_new_zipfile_serialization=zipped)
        for way in WAYS:
            assert_weights(read(way, path), state)
        assert read_checkpoint(path)['meta'] == dict(best=0.5, step=3)

    def test_a_deflated_archive(self, saved, tmp_path):
        state = weights()
        with zipfile.ZipFile(saved(dict(state_dict=state))) as old:
            with zipfile.ZipFile(tmp_path / 'b.pth', 'w', zipfile.ZIP_DEFLATED) as new:
                for name in old.namelist():
                    new.writestr(name, old.read(name))
        for way in WAYS:
            assert_weights(read(way, str(tmp_path / 'b.pth')), state)

    def test_stand_ins_leave_no_trace(self, saved, logged):
        one = Unknown()
        path = saved(dict(
            state_dict=weights(), a=one, b=[1, one], c=(one, {'d': one, 'e': 2}), f={one: 1, 2: [3]}, g={4, one},
            h=collections.deque([one, 5], maxlen=6), i=frozenset({one}), j=[[], [(one, )]], k={7: {8}}))
        found = read_checkpoint(path)
        del found['state_dict']
        assert found == dict(b=[1, None], c=(None, {'e': 2}), f={2: [3]}, g={4}, h=collections.deque([None, 5]),
                             i=frozenset(), j=[[], [(None, )]], k={7: {8}})
        assert found['h'].maxlen == 6
        text, = logged
        assert f'{path} holds objects that are neither tensors nor plain values. They are omitted: a (' in text
        assert 'Unknown), b.1 (' in text and text.endswith(', ....')

    def test_logs_of_mmengine(self, saved):
        path = saved(dict(state_dict=weights(), message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.], [1])))))
        with checkpoints_as_data():
            found = load_checkpoint(nn.Linear(2, 3), path)
        assert found['message_hub']['log_scalars']['loss'].current() == 1


class TestPayloads:

    @pytest.mark.parametrize('way', WAYS)
    @pytest.mark.parametrize('zipped', [True, False])
    def test_they_do_not_run(self, tmp_path, way, zipped):
        proof = write_checkpoint(tmp_path / 'evil.pth', zipped, state_dict=weights())
        said = f'evil.pth is not read, because it asks for {os.name}.system.*--trust-checkpoint'
        with pytest.raises(UserError, match=said) as error:
            read(way, str(tmp_path / 'evil.pth'))
        assert not proof.exists() and '\n' not in str(error.value)

    def test_notes_on_types_that_do_not_fit(self, saved):
        path = saved(dict(state_dict=weights(), types_of_plain_values=[['dtype', ['state_dict', 'weight']]]))
        for way in WAYS:
            with pytest.raises(UserError, match="can't be restored"):
                read(way, path)


@pytest.mark.parametrize('content, said', [
    (nn.Linear(2, 3), 'holds an object of type torch.nn.modules.linear.Linear: expected a dict'),
    (Unknown(), r'holds an object of type \S*Unknown: expected a dict'),
    (Unknown, r'holds an object of type \S*Unknown: expected a dict'),
    ([torch.ones(1)], 'holds an object of type list: expected a dict'),
    (torch.ones(2), 'holds an object of type Tensor: expected a dict'),
    (None, 'holds an object of type NoneType'),
    (dict(state_dict=nn.Linear(2, 3)), 'state_dict of .*a.pth is a torch.nn.modules.linear.Linear: expected a tensor'),
    (dict(state_dict=dict(weight=nn.Linear(2, 3), bias=torch.ones(3))),
     'weight of .*a.pth is a torch.nn.modules.linear.Linear'),
    (dict(state_dict=dict(weight=Unknown())), r'weight of .*a.pth is a \S*Unknown: expected a tensor'),
    (dict(model=nn.Linear(2, 3), epoch=3), r'holds model \(torch.nn.modules.linear.Linear\) and no tensors')])
def test_what_holds_no_weights(saved, content, said):
    path = saved(content)
    for way in WAYS:
        with pytest.raises(UserError, match=f'{said}.*--trust-checkpoint.*trusted_checkpoints') as error:
            read(way, path)
        assert '\n' not in str(error.value)


class TestTrusted:

    def test_the_hosts_loader_reads_and_the_log_says_so(self, saved, logged):
        path = saved(dict(state_dict=weights(), module=nn.Linear(2, 3), options=Namespace(a=1)))
        assert 'module' not in read_checkpoint(path)
        logged.clear()
        with trusted_checkpoints():
            found = read_checkpoint(path)
        assert isinstance(found['module'], nn.Linear) and found['options'] == Namespace(a=1)
        assert logged == [f'{path} is trusted: mmengine reads it, and code in it can run.']
        assert 'module' not in read_checkpoint(path)

    def test_a_module_on_top(self, saved):
        path = saved(nn.Linear(2, 3))
        with trusted_checkpoints():
            assert isinstance(read_checkpoint(path), nn.Linear)
            assert isinstance(read_file(path), nn.Linear)

    def test_tools_that_are_told(self, saved, tmp_path):
        path = saved(dict(state_dict=weights(), payload=Payload(tmp_path / 'proof')))
        with checkpoints_as_data(trusted=True):
            load_from(path)
        assert (tmp_path / 'proof').exists()

    def test_trust_is_not_taken_back_within(self, saved):
        path = saved(dict(state_dict=weights(), module=nn.Linear(2, 3)))
        with trusted_checkpoints(), checkpoints_as_data(), trusted_checkpoints(False):
            assert 'module' in read_checkpoint(path) and 'module' in load_checkpoint(nn.Linear(2, 3), path)

    def test_trust_ends_with_an_error(self, saved):
        path = saved(dict(state_dict=weights(), module=nn.Linear(2, 3)))
        with pytest.raises(RuntimeError), trusted_checkpoints():
            raise RuntimeError
        assert 'module' not in read_checkpoint(path)

    def test_no_other_thread_trusts(self, tmp_path):
        proof, errors = write_checkpoint(tmp_path / 'evil.pth', state_dict=weights()), []

        def attempt():
            try:
                read_checkpoint(str(tmp_path / 'evil.pth'))
            except UserError as error:
                errors.append(error)

        with trusted_checkpoints():
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()
        assert len(errors) == 1 and not proof.exists()


class TestAddresses:
    """All addresses that mmengine knows."""

    OBJECTS = 's3://bucket/a.pth', 'mine:s3://bucket/a.pth', 'petrel://bucket/a.pth'
    URLS = {
        'http://example.com/weights.pth': lambda: 'http://example.com/weights.pth',
        'https://example.com/weights.pth?x=1': lambda: 'https://example.com/weights.pth?x=1',
        'torchvision://resnet101': lambda: get_torchvision_models()['resnet101'],
        'modelzoo://resnet101': lambda: get_torchvision_models()['resnet101'],
        'open-mmlab://resnet101_v1c': lambda: get_external_models()['resnet101_v1c'],
        'openmmlab://resnet101_v1c': lambda: get_external_models()['resnet101_v1c'],
        'mmcls://vgg11': lambda: get_mmcls_models()['vgg11']}
    LOCAL = 'local', '~/a.pth', 'open-mmlab://ours'

    @pytest.fixture(params=[*URLS, *OBJECTS, *LOCAL])
    def place(self, request, tmp_path, monkeypatch):
        """Return an address and the file that it refers to."""
        monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
        monkeypatch.setenv('HOME', str(tmp_path))
        monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
        (tmp_path / 'open_mmlab.json').write_text('{"ours": "a.pth"}')
        (tmp_path / 'checkpoints').mkdir()
        backend = SimpleNamespace(get=lambda address: (tmp_path / 'a.pth').read_bytes())
        monkeypatch.setattr(checkpoint, 'get_file_backend', lambda address, backend_args: backend)
        if request.param in self.URLS:
            name = os.path.basename(urlparse(self.URLS[request.param]()).path)
            return request.param, tmp_path / 'checkpoints' / name
        return str(tmp_path / 'a.pth') if request.param == 'local' else request.param, tmp_path / 'a.pth'

    def test_weights(self, place):
        address, file = place
        state = collections.OrderedDict((f'backbone.{name}', value) for name, value in weights().items())
        torch.save(dict(state_dict=state, options=Namespace(a=1)), file)
        expected = weights().keys() if address.startswith('mmcls') else state.keys()
        assert read_checkpoint(address)['state_dict'].keys() == expected
        with checkpoints_as_data():
            found = CheckpointLoader.load_checkpoint(address, 'cpu')
        assert found['state_dict'].keys() == expected and 'options' not in found

    def test_payloads(self, place):
        address, file = place
        proof = write_checkpoint(file, state_dict=weights())
        with pytest.raises(UserError, match=f'is not read, because it asks for {os.name}.system'):
            read_checkpoint(address)
        with checkpoints_as_data(), pytest.raises(UserError, match=f'asks for {os.name}.system'):
            CheckpointLoader.load_checkpoint(address)
        assert not proof.exists()

    def test_trusted_ones(self, place, logged):
        address, file = place
        # After torch refuses an object, mmengine does not rewind the bytes from an object store.
        options = 1 if address in self.OBJECTS else Namespace(a=1)
        torch.save(dict(state_dict=weights(), options=options), file)
        with trusted_checkpoints():
            found = read_checkpoint(address)
        assert address.startswith('mmcls') or found['options'] == options
        assert logged[0] == f'{address} is trusted: mmengine reads it, and code in it can run.'

    @pytest.mark.parametrize('load', [read_checkpoint, CheckpointLoader.load_checkpoint])
    def test_a_missing_file_is_mmengines(self, tmp_path, load):
        with checkpoints_as_data(), pytest.raises(FileNotFoundError, match='none.pth can not be found'):
            load(str(tmp_path / 'none.pth'))

    @pytest.fixture
    def server(self, tmp_path, monkeypatch):
        """Return the address of a server that has only the file a.pth."""
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path == '/a.pth'
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write((tmp_path / 'a.pth').read_bytes() if found else b'')

            def log_message(self, *_):
                pass

        monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
        for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
            monkeypatch.delenv(name, raising=False)
        with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.05))
            thread.start()
            yield f'http://127.0.0.1:{server.server_port}'
            server.shutdown()
            thread.join()

    def test_a_file_is_fetched_once(self, saved, server, tmp_path):
        state = weights()
        saved(dict(state_dict=state))
        assert_weights(read_checkpoint(f'{server}/a.pth')['state_dict'], state)
        (tmp_path / 'a.pth').write_bytes(b'changed')
        assert_weights(read_checkpoint(f'{server}/a.pth')['state_dict'], state)
        assert (tmp_path / 'hub' / 'checkpoints' / 'a.pth').is_file()

    def test_what_can_not_be_fetched(self, server, tmp_path):
        with pytest.raises(UserError, match=r"/b.pth can't be downloaded \(HTTP Error 404: Not Found\)") as error:
            read_checkpoint(f'{server}/b.pth')
        assert '\n' not in str(error.value) and not list((tmp_path / 'hub').rglob('*.pth'))
        with pytest.raises(UserError, match="can't be downloaded"):
            read_checkpoint('http://127.0.0.1:9/b.pth')


@pytest.fixture
def schemes():
    """mmengine's table of loaders, restored after the test."""
    before = CheckpointLoader._schemes
    CheckpointLoader._schemes = type(before)(before)
    yield CheckpointLoader._schemes
    CheckpointLoader._schemes = before


class TestTheHost:
    """mmengine's table of loaders and other state of the process."""

    def test_the_import_leaves_it_alone(self):
        for prefix, loader in CheckpointLoader._schemes.items():
            assert loader is getattr(checkpoint, loader.__name__), prefix
        assert torch.load.__module__ == 'torch.serialization'

    def test_the_table_is_restored(self, schemes):
        before = dict(schemes)
        with checkpoints_as_data():
            within = dict(CheckpointLoader._schemes)
            assert set(within) == set(before) and not set(map(id, within.values())) & set(map(id, before.values()))
            assert [loader.__name__ for loader in within.values()] == [loader.__name__ for loader in before.values()]
            with checkpoints_as_data():
                pass
            assert dict(CheckpointLoader._schemes) == within
        assert list(CheckpointLoader._schemes.items()) == list(before.items())
        with pytest.raises(RuntimeError), checkpoints_as_data():
            raise RuntimeError
        assert list(CheckpointLoader._schemes.items()) == list(before.items())

    def test_a_users_scheme_from_before(self, schemes, saved):
        content = dict(state_dict=weights(), object=Unknown())
        CheckpointLoader.register_scheme('mine://', lambda filename, map_location: content)
        assert read_checkpoint('mine://a') is content
        with checkpoints_as_data():
            assert CheckpointLoader.load_checkpoint('mine://a') is content
        assert CheckpointLoader.load_checkpoint('mine://a') is content

    def test_a_users_scheme_from_within(self, schemes):
        before, content = dict(schemes), dict(state_dict=weights(), object=Unknown())

        def mine(filename, map_location):
            return content

        with checkpoints_as_data():
            CheckpointLoader.register_scheme('mine://', mine)
            CheckpointLoader.register_scheme('https://', mine, force=True)
            for address in ('mine://a', 'https://a/b.pth'):
                assert read_checkpoint(address) is content and CheckpointLoader.load_checkpoint(address) is content
        after = dict(CheckpointLoader._schemes)
        assert after == {**before, 'mine://': mine, 'https://': mine}

    def test_a_users_loader_in_the_name_of_mmengines(self, schemes):
        content = dict(state_dict=weights())

        @functools.wraps(checkpoint.load_from_local)
        def mine(filename, map_location):
            return content

        CheckpointLoader.register_scheme('', mine, force=True)
        assert read_checkpoint('a.pth') is content
        CheckpointLoader.register_scheme('', functools.partial(mine), force=True)
        assert read_checkpoint('a.pth') is content

    @pytest.mark.parametrize('place', [
        'meta', torch.device('meta'), {'cpu': 'meta'},
        lambda memory, location: torch.UntypedStorage(memory.nbytes(), device='meta') if location == 'cpu' else None])
    def test_the_device(self, saved, place):
        path = saved(dict(state_dict=weights()))
        assert read_checkpoint(path, place)['state_dict']['weight'].device.type == 'meta'
        with checkpoints_as_data():
            assert CheckpointLoader.load_checkpoint(path, place)['state_dict']['weight'].device.type == 'meta'

    @pytest.mark.parametrize('place', [None, 'cpu', {}, {'cuda:0': 'cpu'}, lambda memory, location: None])
    def test_the_same_device(self, saved, place):
        state = weights()
        path = saved(dict(state_dict=state))
        assert_weights(read_checkpoint(path, place)['state_dict'], state)
        with checkpoints_as_data():
            assert_weights(CheckpointLoader.load_checkpoint(path, place)['state_dict'], state)

    @pytest.mark.parametrize('name', ['TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'])
    def test_variables_of_torch(self, saved, tmp_path, monkeypatch, name):
        monkeypatch.setenv(name, '1')
        before, state = dict(os.environ), weights()
        path = saved(dict(state_dict=state, options=Namespace(a=1)))
        for way in WAYS:
            assert_weights(read(way, path), state)
        proof = write_checkpoint_anyway(tmp_path / 'evil.pth', name, monkeypatch)
        for way in WAYS:
            with pytest.raises(UserError, match=f'{os.name}.system'):
                read(way, str(tmp_path / 'evil.pth'))
        assert not proof.exists() and dict(os.environ) == before

    def test_other_threads_see_nothing_of_it(self, saved):
        """Another thread looks while a file is read."""
        def seen():
            return dict(os.environ), torch.load, torch.serialization.load, dict(CheckpointLoader._schemes)

        found, path = [], saved(dict(state_dict=weights(), options=Namespace(a=1)))

        def ask(memory, location):
            thread = threading.Thread(target=lambda: found.append(seen()))
            thread.start()
            thread.join()

        before = seen()
        read_checkpoint(path, ask)
        assert len(found) == 2 and all(one == before for one in found)

    def test_threads_read_at_once(self, saved):
        state, found = weights(), []
        path = saved(dict(state_dict=state, options=Namespace(a=1)))
        threads = [threading.Thread(target=lambda: found.append(read_checkpoint(path)['state_dict'])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        for one in found:
            assert_weights(one, state)


def write_checkpoint_anyway(path, name, monkeypatch):
    """Write a checkpoint with a payload; verify the payload without the variable of torch."""
    monkeypatch.delenv(name)
    proof = write_checkpoint(path, state_dict=weights())
    monkeypatch.setenv(name, '1')
    return proof


def test_any_file_of_torch(saved, tmp_path):
    assert read_file(saved([torch.ones(1), 3])) == [torch.ones(1), 3]
    buffer = io.BytesIO()
    torch.save(Payload(tmp_path / 'proof'), buffer)
    (tmp_path / 'evil.pth').write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=f'{os.name}.system'):
        read_file(str(tmp_path / 'evil.pth'))
    assert not (tmp_path / 'proof').exists()


def test_checkpoint_must_be_there_and_whole(tmp_path):
    whole, half = tmp_path / 'whole.pth', tmp_path / 'half.pth'
    torch.save({'state_dict': {'a': torch.zeros(1000)}}, whole)
    half.write_bytes(whole.read_bytes()[:2000])
    app.check_checkpoint(str(whole))
    with pytest.raises(UserError, match=r'half.pth \(2000 bytes\) is truncated'):
        app.check_checkpoint(str(half))
    with pytest.raises(UserError, match='gone.pth does not exist'):
        app.check_checkpoint(str(tmp_path / 'gone.pth'))
