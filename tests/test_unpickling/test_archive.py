"""Archives read as data: the result equals that of torch, and anything else is refused."""
import argparse
import datetime
import io
import os
import pathlib
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from fixtures.payloads import write_checkpoint, write_pickle, write_torchscript
from fixtures.pickles import legacy, storage, tensor
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import Reference, StandIn, module_tensors, read_archive

TENSORS = dict(
    plain=torch.randn(3, 4), turned=torch.randn(3, 4).t(), part=torch.randn(5, 6)[2:4, ::2], scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3), spread=torch.ones(1, 3).expand(4, 3), int=torch.arange(5), byte=torch.ones(2).byte(),
    bool=torch.tensor([True, False]), half=torch.randn(3).half(), bfloat=torch.randn(3).bfloat16(),
    complex=torch.randn(2, dtype=torch.complex64), conj=torch.tensor([1 + 2j]).conj(),
    neg=torch._neg_view(torch.tensor([1., 2.])), imag=torch.tensor([1 + 2j]).conj().imag,
    grad=torch.randn(2, requires_grad=True))
VALUES = dict(
    size=torch.Size([2, 3]), device=torch.device('cpu'), dtype=torch.float16, text='ä', bytes=b'\xff\0', no_bytes=b'',
    none=None, set={1, 2}, complex=1j, nested=[{'a': (1, 2.5)}], many=list(range(1000)))
ARRAYS = dict(
    matrix=np.arange(6.).reshape(2, 3), fortran=np.asfortranarray(np.arange(6.).reshape(2, 3)), empty=np.zeros((0, 2)),
    other_end=np.arange(3, dtype='>i4'), flags=np.array([True, False]), text=np.array(['a', 'bcd']), scalar=np.array(3),
    letters=np.array([b'ab', b'c']), dates=np.array(['2026-01-01'], 'M8[D]'), spans=np.array([3], 'm8[10s]'),
    pairs=np.array([(1, 2., 'x')], dtype=[('a', 'i4'), ('b', '>f8'), ('c', 'U3')]), aligned=np.array(
        [(1, 2.)], dtype=np.dtype([('a', 'i1'), ('b', 'f8')], align=True)), inner=np.zeros(2, [('a', 'f4', (2, 3))]))
NUMBERS = dict(float=np.float64(0.1), short=np.float32(0.1), int=np.int64(-3), flag=np.bool_(True), word=np.str_('abc'))

@pytest.fixture
def saved(tmp_path):
    """Return a function that writes an object by torch.save and reads the file."""

    def saved(content):
        torch.save(content, tmp_path / 'a.pth')
        return read_archive(str(tmp_path / 'a.pth'))

    return saved


class TestContents:

    def test_tensors(self, saved):
        for name, value in saved(TENSORS).items():
            expected = TENSORS[name]
            assert torch.equal(value, expected) and value.dtype == expected.dtype, name
            assert value.stride() == expected.stride() and value.requires_grad == expected.requires_grad, name

    def test_a_module_and_its_parameters(self, saved):
        weight = saved(dict(nn.Linear(2, 3).named_parameters()))['weight']
        assert isinstance(weight, nn.Parameter) and weight.requires_grad and weight.shape == (3, 2)

    def test_shared_memory_stays_shared(self, saved):
        whole = torch.zeros(4)
        read = saved(dict(whole=whole, part=whole[1:3]))
        read['part'].fill_(1)
        assert read['whole'].tolist() == [0, 1, 1, 0]

    def test_plain_values(self, saved):
        assert saved(VALUES) == VALUES

    def test_arrays_and_numbers(self, saved):
        read = saved(dict(ARRAYS, **NUMBERS))
        for name, expected in pickle.loads(pickle.dumps(dict(ARRAYS, **NUMBERS), 2)).items():
            assert np.array_equal(read[name], expected) and read[name].dtype == expected.dtype, name
        assert all(type(read[name]) is type(NUMBERS[name]) for name in NUMBERS)
        assert type(pickle.loads(pickle.dumps(read['matrix']))) is np.ndarray  # as in the next checkpoint

    def test_logs(self, saved):
        log = HistoryBuffer([1, 2, 4], [1, 1, 2], max_length=7)
        read = saved(log)
        assert type(read) is HistoryBuffer and (read.mean(), read.current(), read.max_length) == (1.75, 4, 7)
        again = pickle.loads(pickle.dumps(read))
        assert all(type(one) is np.ndarray for one in again.data) and again.statistics('max') == 4

    def test_the_device(self, tmp_path):
        torch.save(torch.ones(3), tmp_path / 'a.pth')
        assert read_archive(str(tmp_path / 'a.pth'), 'meta').device.type == 'meta'

    @pytest.mark.parametrize('name', TENSORS)
    def test_files_of_torch_before_16(self, tmp_path, name):
        expected = TENSORS[name]
        torch.save([expected, 3], tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
        read, number = read_archive(str(tmp_path / 'old.pth'))
        assert torch.equal(read, expected) and read.dtype == expected.dtype and read.stride() == expected.stride()
        assert read.is_conj() == expected.is_conj() and number == 3

    def test_a_number_of_numpy_in_a_file_of_torch_before_16(self, tmp_path):
        torch.save(dict(a=torch.ones(2), **NUMBERS), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
        read = read_archive(str(tmp_path / 'old.pth'))
        assert read['a'].tolist() == [1, 1] and {name: read[name] for name in NUMBERS} == NUMBERS

    def test_the_other_byte_order(self, tmp_path):
        """The numbers are those of the other byte order."""
        values = dict(a=torch.arange(3.), b=torch.tensor([1 + 2j]), c=torch.tensor([True, False]))
        torch.save(values, tmp_path / 'a.pth')
        with zipfile.ZipFile(tmp_path / 'a.pth') as old, zipfile.ZipFile(tmp_path / 'b.pth', 'w') as new:
            for info in old.infolist():
                if not info.filename.endswith('byteorder'):
                    new.writestr(info.filename, old.read(info))
            new.writestr(f'{os.path.dirname(old.namelist()[0])}/byteorder', 'big')
        read = read_archive(str(tmp_path / 'b.pth'))
        assert np.array_equal(read['a'].numpy(), np.arange(3, dtype='<f4').view('>f4').astype('f4'))
        assert np.array_equal(read['b'].numpy(), np.array([1 + 2j], '<c8').view('>c8').astype('c8'))
        assert read['c'].tolist() == [True, False]

    def test_the_other_byte_order_in_a_file_of_torch_before_16(self, tmp_path):
        numbers = struct.pack('>q', 3) + np.arange(3, dtype='>f4').tobytes()
        content = tensor((3, ), (1, ), 0, storage(count=3))
        (tmp_path / 'a.pth').write_bytes(legacy(content, ('0', ), numbers, little=False))
        assert read_archive(str(tmp_path / 'a.pth')).tolist() == [0, 1, 2]

    @pytest.mark.parametrize('place, device', [
        ('cpu', 'cpu'), (None, 'cpu'), ('meta', 'meta'), (torch.device('meta'), 'meta'), (dict(cpu='meta'), 'meta'),
        (dict(cuda='meta'), 'cpu'), (lambda storage, location: None, 'cpu'),
        (lambda storage, location: storage, 'cpu')])
    def test_map_location(self, tmp_path, place, device):
        torch.save(torch.arange(3), tmp_path / 'a.pth')
        read = read_archive(str(tmp_path / 'a.pth'), place)
        assert read.device.type == device and (device == 'meta' or read.tolist() == [0, 1, 2])

    @pytest.mark.parametrize('place, said', [(3, 'map_location is 3'), ('cuda:99', "can't be moved to 'cuda:99'"),
                                             ('nowhere', "can't be moved to 'nowhere'")])
    def test_a_map_location_that_can_not_be_used(self, tmp_path, place, said):
        torch.save(torch.arange(3), tmp_path / 'a.pth')
        with pytest.raises(UserError, match=said):
            read_archive(str(tmp_path / 'a.pth'), place)

    def test_versions_of_modules_in_a_state_dict(self, saved):
        state = nn.BatchNorm2d(3).state_dict()
        assert saved(state)._metadata == state._metadata and saved(state)._metadata['']['version'] == 2

    def test_deflated_archives(self, tmp_path):
        torch.save(dict(TENSORS, bytes=VALUES['bytes']), tmp_path / 'a.pth')
        with zipfile.ZipFile(tmp_path / 'a.pth') as old, zipfile.ZipFile(tmp_path / 'b.pth', 'w', 8) as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
        read = read_archive(str(tmp_path / 'b.pth'))
        assert all(torch.equal(read[name], TENSORS[name]) for name in TENSORS) and read['bytes'] == VALUES['bytes']

    def test_other_objects_become_stand_ins(self, saved):
        content = dict(args=argparse.Namespace(lr=0.1), path=pathlib.PurePosixPath('a/b'), kind=nn.Linear, call=len,
                       when=datetime.datetime(2026, 1, 2), config=ConfigDict(a=1), weight=torch.ones(2))
        read = saved(content)
        assert read['weight'].tolist() == [1, 1] and read['args'].state == dict(lr=0.1)
        assert {name: str(value) for name, value in read.items() if isinstance(value, (StandIn, Reference))} == dict(
            args='argparse.Namespace', path='pathlib.PurePosixPath', kind='torch.nn.modules.linear.Linear',
            call='__builtin__.len', when='datetime.datetime', config='mmengine.config.config.ConfigDict')
        assert not any(callable(value) for value in read.values() if isinstance(value, (StandIn, Reference)))

    @pytest.mark.parametrize('write', [torch.jit.script, lambda module: torch.jit.trace(module, torch.zeros(1, 2))])
    def test_torchscript(self, tmp_path, write):
        module = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())).eval()
        torch.jit.save(write(module), tmp_path / 'a.pt')
        read = dict(module_tensors(read_archive(str(tmp_path / 'a.pt'))))
        expected = torch.jit.load(tmp_path / 'a.pt').state_dict()
        assert read.keys() == expected.keys() and len(read) == 7
        assert all(torch.equal(read[name], expected[name]) for name in expected)


class TestForeign:

    @pytest.mark.parametrize('write', [write_checkpoint, lambda path: write_checkpoint(path, zipped=False)])
    def test_payloads_do_not_run(self, tmp_path, write):
        proof = write(tmp_path / 'evil.pth')
        with pytest.raises(UserError, match=f'evil.pth.*asks for {os.name}.system') as error:
            read_archive(str(tmp_path / 'evil.pth'))
        assert not proof.exists() and '\n' not in str(error.value)

    def test_a_bare_pickle_is_no_checkpoint(self, tmp_path):
        proof = write_pickle(tmp_path / 'evil.pth')
        with pytest.raises(UserError, match='evil.pth'):
            read_archive(str(tmp_path / 'evil.pth'))
        assert not proof.exists()

    def test_torchscript_is_read_without_being_run(self, tmp_path):
        proof = write_torchscript(tmp_path / 'evil.pth')
        module = read_archive(str(tmp_path / 'evil.pth'))
        assert not proof.exists() and not dict(module_tensors(module))

    def test_functions_by_way_of_getattr(self, saved):
        class Reach:
            def __reduce__(self):
                return getattr, (HistoryBuffer, 'min')

        assert isinstance(saved([Reach()])[0], StandIn)  # mmengine's logs refer to their functions in this way

    def test_logs_bring_no_functions_along(self, saved):
        log = HistoryBuffer([1], [1])
        log._statistics_methods = dict(mean='not a function')
        saved(log)
        assert HistoryBuffer([1, 3], [1, 1]).statistics('mean') == 2


class TestDamaged:

    @pytest.fixture
    def content(self):
        file = io.BytesIO()
        torch.save(dict(state_dict=TENSORS, log=HistoryBuffer([1.], [1])), file)
        return file.getvalue()

    def refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(UserError, match="a.pth can't be read") as error:
            read_archive(str(path))
        assert '\n' not in str(error.value)

    @pytest.mark.parametrize('part', range(20))
    def test_truncated(self, tmp_path, content, part):
        self.refused(tmp_path / 'a.pth', content[:len(content) * part // 20])

    def test_a_flipped_bit_in_a_tensor(self, tmp_path, content):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = next(info for info in archive.infolist() if info.filename.endswith('data/0'))
        place = content.index(TENSORS['plain'].numpy().tobytes(), info.header_offset)
        self.refused(tmp_path / 'a.pth', content[:place] + bytes([content[place] ^ 1]) + content[place + 1:])

    @pytest.mark.slow
    def test_any_bytes_in_the_pickle(self, tmp_path):
        torch.save(dict(state_dict=TENSORS, log=HistoryBuffer([1.], [1]), **ARRAYS, **NUMBERS), tmp_path / 'a.pth')
        with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
            records = {info.filename: archive.read(info) for info in archive.infolist()}
        generator, refused = random.Random(0), 0
        for _ in range(2000):
            data = bytearray(records['a/data.pkl'])
            for _ in range(generator.choice([1, 1, 2, 10])):
                data[generator.randrange(len(data))] = generator.randrange(256)
            with zipfile.ZipFile(tmp_path / 'b.pth', 'w') as archive:
                for name, record in records.items():
                    archive.writestr(name, bytes(data) if name == 'a/data.pkl' else record)
            try:
                read_archive(str(tmp_path / 'b.pth'))
            except UserError:
                refused += 1
        print(f'{refused} of 2000 refused')
        assert 500 < refused < 2000  # the others change only a name or a number

    @pytest.mark.parametrize('content', [b'', b'<html>', pickle.dumps([1, 2])])
    def test_something_else(self, tmp_path, content):
        self.refused(tmp_path / 'a.pth', content)

    def test_another_zip(self, tmp_path):
        with zipfile.ZipFile(tmp_path / 'b.zip', 'w') as archive:
            archive.writestr('readme.txt', 'text')
        self.refused(tmp_path / 'a.pth', (tmp_path / 'b.zip').read_bytes())

    @pytest.mark.parametrize('size, stride, offset', [
        ((9,), (1,), 0), ((2,), (9,), 0), ((2,), (1,), 7), ((2,), (1,), -1), ((2,), (-1,), 1)])
    def test_tensors_beyond_their_memory(self, tmp_path, size, stride, offset):
        class Beyond:
            def __reduce__(self):
                return torch._utils._rebuild_tensor_v2, (torch.zeros(4).storage(), offset, size, stride, False, None)

        torch.save([Beyond()], tmp_path / 'b.pth')
        self.refused(tmp_path / 'a.pth', (tmp_path / 'b.pth').read_bytes())
