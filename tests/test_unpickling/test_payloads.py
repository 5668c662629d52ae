"""Attacks by kind: no file runs code, hangs, fills the memory or changes the process."""
import os
import pickle
import struct
import zipfile

import pytest
import torch
from fixtures.hostile import read_each
from fixtures.pickles import (
    build,
    call,
    legacy,
    many,
    name,
    nested,
    new,
    number,
    plain,
    saved,
    storage,
    tensor,
    text,
    zipped,
)

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import module_tensors, read_archive

BIG = 10 ** 9
WIDE = tensor((BIG, ), (0, ))  # has the shape of 4 GB and 4 bytes
DTYPE = call('numpy', 'dtype', text('f8'), number(0), number(1))
OBJECTS = build(call('numpy', 'dtype', text('O8'), number(0), number(1)),
                plain((3, '|', None, None, None, -1, -1, 63)))
ARRAY = call('numpy.core.multiarray', '_reconstruct', name('numpy', 'ndarray'), many(number(0)), plain(b'b'[:0]))
TOUCH = text('touch proof')
# kind -> files
ATTACKS = {
    'functions': [zipped(call(*function.rsplit('.', 1), TOUCH)) for function in (
        f'{os.name}.system', 'builtins.eval', '__builtin__.exec', 'builtins.open', 'subprocess.getoutput',
        'subprocess.Popen', 'os.popen', 'runpy.run_path', 'importlib.import_module', 'builtins.__import__',
        'torch.load', 'torch.hub.load', 'torch.jit.load', 'torch.storage._load_from_bytes', 'numpy.load',
        'numpy.fromfile', 'pickle.loads', '_pickle.loads', 'ctypes.CDLL', 'shutil.rmtree', 'builtins.setattr')],
    'functions reached by others': [
        zipped(call('builtins', 'getattr', name(os.name, 'system'), text('__call__')) + many(TOUCH) + b'R'),
        zipped(call('builtins', 'getattr', name('torch', 'serialization'), text('os'))),
        zipped(call('functools', 'partial', name(os.name, 'system'), TOUCH) + many() + b'R'),
        zipped(call('copyreg', '_reconstructor', name(os.name, 'system'), name('builtins', 'object'), TOUCH)),
        zipped(call('torch._tensor', '_rebuild_from_type_v2', name(os.name, 'system'), name('torch', 'Tensor'),
                    many(TOUCH), b'N')),
        zipped(call('torch.jit._pickle', 'restore_type_tag', name(os.name, 'system'), TOUCH) + many(TOUCH) + b'R'),
        zipped(call('collections', 'defaultdict', name(os.name, 'system'))),
        zipped(call('builtins', 'map', name(os.name, 'system'), many(TOUCH))),
        zipped(b'(' + name(os.name, 'system') + TOUCH + b'o'), zipped(b'(' + TOUCH + f'i{os.name}\nsystem\n'.encode()),
        zipped(new(os.name, 'system', TOUCH)), zipped(name(os.name, 'system') + many(TOUCH) + b'}\x92')],
    'raw memory as objects': [
        zipped(call('numpy', 'ndarray', many(number(1)), OBJECTS, plain(b'A' * 8))),
        zipped(call('builtins', 'set', call('numpy', 'ndarray', many(number(1)), text('O'), plain(b'A' * 8)))),
        zipped(build(ARRAY, many(number(1), many(number(1)), OBJECTS, b'\x89', plain(b'A' * 8)))),
        zipped(call('numpy.core.multiarray', 'scalar', OBJECTS, plain(b'A' * 8))),
        zipped(call('numpy.core.numeric', '_frombuffer', plain(b'A' * 8), OBJECTS, many(number(1)), text('C'))),
        zipped(build(ARRAY, many(number(1), many(number(1)), build(call(
            'numpy', 'dtype', text('V8'), number(0), number(1)), many(
                number(3), text('|'), b'N', many(text('a')), b'}' + text('a') + many(OBJECTS, number(0)) + b's',
                number(8), number(1), number(0))), b'\x89', plain(b'A' * 8))))],
    'states onto what is shared': [zipped(build(name(*shared), state)) for shared in (
        ('collections', 'OrderedDict'), ('torch', 'float32'), ('numpy', 'ndarray'), ('numpy', 'dtype'),
        ('mmengine.logging.history_buffer', 'HistoryBuffer'), ('_codecs', 'encode'), ('torch', 'Tensor'))
        for state in (plain({'__getattr__': 1}), plain((None, {'__defaults__': (1, )})),
                      plain({'__class__': 1, '__dict__': {}}))] + [
        zipped(build(DTYPE, plain((3, '>', None, None, None, -1, -1, 0)))),
        zipped(build(tensor(), many(storage(), number(0), many(number(BIG)), many(number(1))))),
        zipped(build(storage(), plain({'dtype': 1, 'memory': 2}))), zipped(build(plain([]), plain({'a': 1})))],
    'tables of objects': [zipped(b'}r' + struct.pack('<I', place)) for place in (2 ** 24, 2 ** 32 - 1)] + [
        zipped(b'}p99999999999\n'), zipped(b'g99999999999\n'), zipped(b'h\x07')],
    'hashes': [zipped(b'}' + nested(60) + b'Ns'), zipped(b'\x8f(' + nested(60) + b'\x90'),
               zipped(b'(' + nested(60) + b'\x91'), zipped(call('builtins', 'set', b'(' + nested(60) + b'l')),
               zipped(call('builtins', 'frozenset', many(nested(60)))),
               zipped(call('collections', 'OrderedDict', b'(' + many(nested(60), b'N') + b'l')),
               zipped(b'}' + b'K\x01' + b'\x85' * 100000 + b'Ns'),
               zipped(b'}(' + b''.join(number(step * (2 ** 61 - 1)) + b'N' for step in range(20000)) + b'u')],
    'shared objects that are huge when written out': [
        zipped(b']' + nested(60) + b'a'), zipped(nested(60)), legacy(nested(60), (), b''),
        zipped(many(*[text('x' * 10000) + b'2\x862\x862\x86' * 10]))],
    'depth and circles': [zipped(b']' * 100000 + b'a' * 99999), zipped(b'(' * 100000 + b't' * 100000),
                          zipped(b']q\x00h\x00a'), zipped(b'}q\x00' + text('a') + b'h\x00s'),
                          zipped(build(new('my.code', 'Thing'), b']' * 5000 + b'a' * 4999))],
    'tensors that look large': [zipped(call(*taker, WIDE)) for taker in (
        ('torch', 'Size'), ('builtins', 'set'), ('builtins', 'frozenset'), ('builtins', 'list'), ('builtins', 'tuple'),
        ('collections', 'Counter'), ('collections', 'deque'), ('collections', 'OrderedDict'),
        ('builtins', 'bytearray'))] + [
        zipped(WIDE), zipped(b']' + WIDE + b'a'), legacy(WIDE), zipped(call(
            'torch._utils', '_rebuild_meta_tensor_no_storage', name('torch', 'float32'), many(number(BIG * BIG)),
            many(number(1)), b'\x89')),
        zipped(build(new('mmengine.logging.history_buffer', 'HistoryBuffer'), b'}(' + text('_log_history') + WIDE
                     + text('_count_history') + WIDE + text('max_length') + number(BIG) + b'u'))],
    'tensors beyond their memory': [zipped(tensor(*shape)) for shape in (
        ((9, ), (1, ), 0), ((2, ), (9, ), 0), ((1, ), (1, ), 7), ((1, ), (1, ), -1), ((2, ), (-1, ), 1),
        ((-1, ), (1, )),
        ((2 ** 62, 2), (2 ** 62, 1)), ((1, ), (1, 1)), ((2 ** 70, ), (0, )))] + [
        zipped(tensor((BIG, ), (1, ), 0, storage(count=0)), {'data/0': b''}),
        zipped(tensor((BIG, ), (1, ), 0, storage(count=BIG))), zipped(tensor(place=storage('1'))),
        zipped(tensor(place=storage(kind='DoubleStorage'))), zipped(tensor(place=plain(3))),
        legacy(tensor((1, ), (1, ), 0, storage(count=2))), legacy(tensor(place=storage(count=BIG))),
        legacy(tensor(place=storage(count=2 ** 60))), legacy(tensor(), keys=()), legacy(tensor(), storages=b''),
        legacy(tensor(), storages=struct.pack('<q', 2 ** 60)), legacy(tensor(), keys={'0': 1}),
        legacy(tensor(), keys=3),
        zipped(call('torch._utils', '_rebuild_sparse_tensor', call(
            'torch.serialization', '_get_layout', text('torch.sparse_coo')), many(
                call('torch._utils', '_rebuild_tensor_v2', storage('0', 1, 'LongStorage'), number(0), many(
                    number(1), number(1)), many(number(1), number(1)), b'\x89', b'N'), tensor((1, ), (1, ), 0, storage(
                        '1')), many(number(1)))), {'data/0': struct.pack('<q', BIG), 'data/1': bytes(4)}),
        zipped(call('torch._utils', '_rebuild_qtensor', storage(kind='QUInt8Storage', count=4), number(0), many(
            number(BIG)), many(number(1)), many(name('torch', 'per_tensor_affine'), plain(1.), number(0)), b'\x89',
            b'N'))],
    'arrays larger than their bytes': [
        zipped(build(ARRAY, many(number(1), many(*map(number, shape)), kind, b'\x89', plain(b'\0' * 8))))
        for shape in ((BIG, ), (-1, ), (2 ** 62, 4), (0, 2 ** 60), (2 ** 60, 0))
        for kind in (DTYPE, call('numpy', 'dtype', text('V0'), number(0), number(1)))] + [
        zipped(call('numpy', 'dtype', text('V' + '9' * 18), number(0), number(1))),
        zipped(call('numpy.core.multiarray', 'scalar',
                    call('numpy', 'dtype', text('V2000000000'), number(0), number(1)), plain(b'')))],
    'copies': [zipped(text('x' * 10 ** 6) + b'q\x000('
                      + b'c_codecs\nencode\nh\x00X\x06\0\0\0latin1\x86R' * 5000 + b't'),
               zipped(plain(list(range(10000))) + b'q\x000(' + b'c__builtin__\nlist\nh\x00\x85R' * 5000 + b't')],
    'small objects': [zipped(b'(' + opcode * 10 ** 6 + b't', method=zipfile.ZIP_DEFLATED)
                      for opcode in (b']', b'}', b'\x8f', b'(', b')')],
    'numbers in a range': [zipped(call('builtins', 'set', call('builtins', 'range', number(BIG)))),
                           zipped(call('builtins', 'range', number(2 ** 70)))],
    'records': [
        zipped(plain({}), {'data/0': bytes(2 * 10 ** 8)}, zipfile.ZIP_DEFLATED),
        zipped(tensor(), {'data/0': bytes(2 * 10 ** 8)}, zipfile.ZIP_DEFLATED),
        zipped(tensor(), method=zipfile.ZIP_BZIP2), zipped(tensor(), method=zipfile.ZIP_LZMA),
        zipped(tensor(), {'data/0': bytes(4), 'byteorder': b'sideways'}), zipped(tensor(), {'data/0': b'abc'}),
        zipped(text('\ud800\n' * 1000)), zipped(name('a\x00b', 'c' * 5000)), zipped(call('os', 'a\x1bb' * 500))],
    'modules that hold each other': [
        zipped(build(new('__torch__.a', 'M') + b'q\x00', b'}' + text('m') + b'h\x00s'))],
    'extensions': [zipped(opcode) for opcode in (b'\x82\x01', b'\x83\x01\x00', b'\x84\x01\0\0\0', b'P1\n', b'\x97',
                                                b'\x96' + struct.pack('<Q', 2 ** 40), b'\x98')],
    'lengths': [zipped(opcode + struct.pack('<Q', 2 ** 40)) for opcode in (b'\x8d', b'\x8e', b'\x95')] + [
        legacy(opcode + struct.pack('<Q', 2 ** 40)) for opcode in (b'\x8d', b'\x8e', b'\x95')] + [
        zipped(b'\x8b' + struct.pack('<i', -5)), zipped(b'I' + b'9' * 10000 + b'\n'), zipped(b'X\xff\xff\xff\xff')],
}


@pytest.mark.slow
@pytest.mark.parametrize('kind', ATTACKS)
def test_nothing_runs_hangs_floods_or_changes(kind, tmp_path):
    outcomes = read_each([saved(dict(state_dict=dict(a=torch.ones(2)))), *ATTACKS[kind]], tmp_path)
    for outcome in outcomes[1:]:
        print(f'{kind}: {outcome.seconds:.2f} s, {outcome.grown:.0f} MiB: {outcome.said[:150]}')
    assert outcomes[0].said == 'read: dict'


@pytest.mark.parametrize('function', ['posix.system', 'builtins.eval', 'subprocess.Popen', 'torch.load', 'numpy.load'])
def test_a_function_that_no_data_needs_is_named(function, tmp_path):
    (tmp_path / 'a.pth').write_bytes(zipped(call(*function.rsplit('.', 1), TOUCH)))
    with pytest.raises(UserError, match=f'a.pth is not read, because it asks for {function}.*--trust-checkpoint'):
        read_archive(str(tmp_path / 'a.pth'))


def test_the_attacks_are_real():
    """Python's pickle runs the calls; this one is harmless."""
    assert pickle.loads(b'\x80\x02' + call('builtins', 'len', plain('abc')) + b'.') == 3


@pytest.mark.parametrize('pairs', [1, 45])
def test_modules_that_hold_each_other_have_no_end(tmp_path, pairs):
    """A module that contains itself, and a chain in which each module contains the next one twice."""
    content = new('__torch__.a', 'M')
    if pairs == 1:
        content = build(content + b'q\x00', b'}' + text('m') + b'h\x00s')
    for _ in range(pairs - 1):
        content = (content + b'q\x01' + new('__torch__.a', 'M') + b'}(' + text('a') + b'h\x01' + text('b') + b'h\x01ub')
    (tmp_path / 'a.pt').write_bytes(zipped(content))
    with pytest.raises(pickle.UnpicklingError, match='contain each other'):
        dict(module_tensors(read_archive(str(tmp_path / 'a.pt'))))
