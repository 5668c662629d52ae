"""Random files: opcodes from a grammar, damaged pickles and archives. None runs code, hangs or fills the memory.

``FUZZ_COUNT=200000 pytest -n0 tests/test_unpickling/test_fuzz.py -rP`` draws more and prints the figures.
"""
import os
import random
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch
from fixtures.hostile import read_each
from fixtures.pickles import build, call, legacy, many, name, new, number, plain, saved, storage, tensor, text, zipped
from mmengine.logging import HistoryBuffer

COUNT = int(os.environ.get('FUZZ_COUNT', 10000))
NAMES = [('os', 'system'), ('posix', 'system'), ('builtins', 'eval'), ('builtins', 'getattr'), ('builtins', 'set'),
         ('builtins', 'list'), ('builtins', 'bytearray'), ('builtins', 'range'), ('collections', 'OrderedDict'),
         ('collections', 'Counter'), ('collections', 'deque'), ('collections', 'defaultdict'), ('_codecs', 'encode'),
         ('numpy', 'dtype'), ('numpy', 'ndarray'), ('numpy.core.multiarray', '_reconstruct'),
         ('numpy.core.multiarray', 'scalar'), ('numpy._core.numeric', '_frombuffer'), ('torch', 'Size'),
         ('torch', 'device'), ('torch', 'float32'), ('torch', 'FloatStorage'), ('torch._utils', '_rebuild_tensor_v2'),
         ('torch._utils', '_rebuild_tensor_v3'), ('torch._utils', '_rebuild_parameter'),
         ('torch._utils', '_rebuild_qtensor'), ('torch._utils', '_rebuild_sparse_tensor'),
         ('torch._utils', '_rebuild_meta_tensor_no_storage'), ('torch._tensor', '_rebuild_from_type_v2'),
         ('torch.serialization', '_get_layout'), ('mmengine.logging.history_buffer', 'HistoryBuffer'),
         ('argparse', 'Namespace'), ('my.code', 'Thing'), ('__torch__.a', 'M'), ('copyreg', '_reconstructor')]
NUMBERS = [0, 1, 2, -1, 3, 4, 255, 10 ** 6, 2 ** 31, 2 ** 40, 2 ** 63, -2 ** 63, 2 ** 70]
TEXTS = ['', 'a', 'f8', 'O', 'V8', 'U5', 'M8', '<', 'latin1', 'cpu', 'meta', 'torch.sparse_coo', 'touch proof',
         'x' * 1000]
LAST = [b']', b'}', b')', b'\x8f', b'(', b'0', b'1', b'2', b'a', b'e', b's', b'u', b't', b'l', b'd', b'R', b'b', b'o',
        b'\x81', b'\x92', b'\x85', b'\x86', b'\x87', b'\x90', b'\x91', b'\x93', b'\x94', b'Q', b'q\0', b'h\0', b'q\1',
        b'h\1']


def value(draw: random.Random, depth: int = 3) -> bytes:
    """Return the opcodes of a random value."""
    kind = draw.randrange(12 if depth else 4)
    inner = [value(draw, depth - 1) for _ in range(draw.randrange(5))] if kind > 3 else []
    return [lambda: number(draw.choice(NUMBERS)), lambda: text(draw.choice(TEXTS)), lambda: draw.choice(
        [b'N', b'\x88', b'\x89', plain(1.5), plain(b'abcdefgh'), storage(draw.choice('01'), draw.choice(NUMBERS))]),
        lambda: name(*draw.choice(NAMES)), lambda: many(*inner), lambda: b'(' + b''.join(inner) + b'l',
        lambda: b'}(' + b''.join(text(str(place)) + one for place, one in enumerate(inner)) + b'u',
        lambda: call(*draw.choice(NAMES), *inner), lambda: new(*draw.choice(NAMES), *inner),
        lambda: build(value(draw, depth - 1), many(*inner)), lambda: tensor(
            [draw.choice(NUMBERS) for _ in inner], [draw.choice(NUMBERS) for _ in inner], draw.choice(NUMBERS[:6])),
        lambda: call('torch._utils', '_rebuild_tensor_v2', storage(), *inner)][kind]()


def opcodes(draw: random.Random) -> bytes:
    """Return opcodes and values in random order."""
    return b''.join(value(draw, 1) if draw.random() < 0.6 else draw.choice(LAST) for _ in range(draw.randrange(1, 30)))


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Change, remove or repeat some bytes, or replace a length by a large one."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 10])):
        place = draw.randrange(len(content))
        kind = draw.randrange(4)
        if kind == 0:
            content[place] = draw.randrange(256)
        elif kind == 1:
            del content[place:place + draw.choice([1, 4, 100])]
        elif kind == 2:
            content[place:place] = content[place:place + draw.choice([1, 8, 200])]
        else:
            content[place:place + 4] = struct.pack('<I', draw.choice([0, 2 ** 16, 2 ** 31 - 1, 2 ** 32 - 1]))
        content = content or bytearray(1)
    return bytes(content)


def files(count: int, seed: int = 0) -> list[bytes]:
    """Return random files; the first is intact."""
    whole = dict(state_dict=OrderedDict(a=torch.randn(3, 4), b=torch.randn(2).half(), c=torch.eye(2).to_sparse()),
                 log=HistoryBuffer([1.], [1]), array=np.arange(6.).reshape(2, 3), pairs=np.zeros(2, 'i4,f8'),
                 set={1, 2})
    origins = [saved(whole), saved(whole, _use_new_zipfile_serialization=False)]
    draw = random.Random(seed)
    makers = [lambda: zipped(value(draw)), lambda: zipped(opcodes(draw)), lambda: legacy(value(draw)),
              lambda: damaged(draw, draw.choice(origins)), lambda: zipped(damaged(draw, value(draw, 2))),
              lambda: zipped(value(draw), {'data/0': bytes(draw.choice([0, 1, 4, 64])), 'byteorder': draw.choice(
                  [b'little', b'big', b'', b'x'])}, draw.choice([0, 8]))]
    return [origins[0], *(draw.choice(makers)() for _ in range(count))]


@pytest.mark.slow
def test_random_files(tmp_path):
    outcomes = []
    for part in range(0, COUNT, 10000):
        outcomes += read_each(files(min(COUNT - part, 10000), seed=part), tmp_path)[1:]
    read = sum(outcome.said.startswith('read') for outcome in outcomes)
    longest = max(one.seconds for one in outcomes)
    print(f'{len(outcomes)} files, {len(outcomes) - read} refused, longest {longest:.2f} s, '
          f'most memory {max(one.grown for one in outcomes):.0f} MiB')
    assert len(outcomes) == COUNT and COUNT / 100 < read < COUNT * 0.9
