"""The unpickler imports and calls nothing: names become references, objects become stand-ins."""
import argparse
import collections
import pickle

import pytest
from fixtures.pickles import END, START, build, call, many, name, new, number, plain, text

from mmseg_mvp.unpickling import PLAIN_VALUES, ForeignError, Reference, StandIn, read_pickle


def read(content, values={}):
    return read_pickle(START + content + END, values)


def test_a_name_becomes_a_reference():
    assert read(name('os', 'system')) == Reference('os', 'system') and str(read(name('os', 'system'))) == 'os.system'


def test_an_object_becomes_a_stand_in_with_its_state():
    read_back = read_pickle(pickle.dumps(argparse.Namespace(a=1)))
    assert type(read_back) is StandIn and read_back.kind == 'argparse.Namespace' and read_back.state == dict(a=1)


def test_a_stand_in_keeps_arguments_and_entries():
    stand_in = read(new('some.package', 'Kind', number(1), text('a')) + b'(' + number(2) + number(3) + b'e')
    assert (stand_in.kind, stand_in.args, stand_in.items) == ('some.package.Kind', (1, 'a'), [2, 3])


def test_a_value_of_the_table():
    values = {('some.package', 'double'): lambda one: 2 * one}
    assert read(call('some.package', 'double', number(3)), values) == 6


@pytest.mark.parametrize('function', ['os.system', 'builtins.eval', '__builtin__.eval', 'torch.load', 'numpy.load'])
def test_calls_that_data_does_not_need_are_refused(function):
    with pytest.raises(ForeignError, match=f'it asks for {function}'):
        read(call(*function.rsplit('.', 1), text('x')))


def test_an_object_of_protocol_0_within_a_list():
    first, second = read(b'(' + number(1) + b'(' + number(2) + b'iargparse\nNamespace\nl')
    assert first == 1 and (second.kind, second.args) == ('argparse.Namespace', (2, ))


@pytest.mark.parametrize('content', [plain([1]) + many() + b'R', build(plain([1]), plain({})),
                                     b'I1\n' + number(1) + b'a'])
def test_calls_and_states_of_other_values_are_refused(content):
    with pytest.raises(pickle.UnpicklingError):
        read(content)


def test_plain_containers_are_as_python_reads_them():
    value = dict(a=[1, (2., None)], b={1, 'x'}, c=frozenset({3}), d=b'x', e=bytearray(b'y'))
    for protocol in range(2, 6):
        assert read_pickle(pickle.dumps(value, protocol), PLAIN_VALUES) == value


def test_entries_of_a_counter_are_set():
    counter = collections.Counter(a=2)
    assert read_pickle(pickle.dumps(counter), PLAIN_VALUES) == counter
