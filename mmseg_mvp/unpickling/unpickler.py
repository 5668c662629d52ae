"""Reads pickles as data: nothing that a pickle names is imported or called.

The opcodes are those of Python's own ``pickle._Unpickler``. Those that import, call, restore or fill an object are
replaced: a name becomes a :class:`Reference`, the call of a name a value by a table or a :class:`StandIn`. A pickle
can't reach any object of the process.
"""
import io
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .limits import Budget, check_tree, key, of_type, short

# Objects of Python's library that are data. A call of anything else of it is an attack, or belongs to no weights.
_DATA_MODULES = {'argparse', 'array', 'collections', 'copyreg', 'datetime', 'decimal', 'enum', 'fractions', 'pathlib',
                 'random', 're', 'types', 'uuid', 'zoneinfo'}
_DATA_NAMES = {f'{builtins}.{name}' for builtins in ('builtins', '__builtin__') for name in ('getattr', 'object')}
_DATA_NAMES |= {'functools.partial'}
_REMOVED = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.BYTEARRAY8, pickle.NEXT_BUFFER,
            pickle.READONLY_BUFFER)


class ForeignError(pickle.UnpicklingError):
    """A pickle calls something that no data needs."""


@dataclass(frozen=True, repr=False)
class Reference:
    """Name of a class or a function, which is not imported."""
    module: str
    name: str

    def __str__(self) -> str:
        return f'{self.module}.{self.name}'

    __repr__ = __str__


@dataclass(eq=False)
class StandIn:
    """Record of an object whose class is not imported.

    Attributes:
        kind (str): Class or function, such as ``'argparse.Namespace'``.
        args (tuple): Arguments of its call.
        state (object): Its attributes as a dict, or another state.
        items (list): Entries, or pairs of key and value, that were added to it.
    """
    kind: str
    args: tuple = field(default=(), repr=False)
    state: Any = field(default=None, repr=False)
    items: list = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return self.kind


class Pending:
    """A value that a pickle describes by a call and, later, a state."""

    def restore(self, state: Any) -> None:
        """Take the state, which may be anything."""
        raise NotImplementedError


def _counted(load: Callable) -> Callable:
    """The function of an opcode, which takes the memory of a small object."""
    def run(unpickler: 'DataUnpickler') -> None:
        unpickler.budget.spend(32)
        load(unpickler)
    return run


class DataUnpickler(pickle._Unpickler):
    """Unpickles plain values, the values of a table, and stand-ins of all else.

    Args:
        file (BinaryIO): Its ``read(n)`` must return what is there and not reserve n bytes first.
        budget (Budget): Memory for the values.
        values (Mapping): Maps (module, name) to the function that makes a value from a call's arguments, or to the
            value that the name itself stands for. The functions must check their arguments.
    """

    def __init__(self, file: BinaryIO, budget: Budget, values: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file)
        self.budget, self.values = budget, values

    def find_class(self, module: str, name: str) -> Any:
        value = self.values.get((module, name))
        return Reference(module, name) if value is None or callable(value) else value

    def make(self, reference: Any, args: Any) -> Any:
        """The value that a call of a name stands for."""
        if type(reference) is not Reference or type(args) is not tuple:
            raise pickle.UnpicklingError('a call of what is no name')
        if known := self.values.get((reference.module, reference.name)):
            self.budget.copy(args)
            return known(*args)
        check_harmless(reference)
        if reference.module == 'copyreg' and args and type(args[0]) is Reference:  # _reconstructor(class, base, state)
            return self.make(args[0], args[1:])
        return StandIn(str(reference), args)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        keywords, args = self.stack.pop(), self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], (*args, keywords) if keywords else args)

    def load_obj(self) -> None:
        reference, *args = self.pop_mark()
        self.append(self.make(reference, tuple(args)))

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode('ascii') for _ in range(2))
        self.append(self.make(self.find_class(module, name), tuple(self.pop_mark())))

    def load_build(self) -> None:
        state = self.stack.pop()
        value = self.stack[-1]
        if isinstance(value, Pending):
            self.budget.copy(state.values() if type(state) is dict else of_type(state, tuple))
            value.restore(state)
        elif type(value) is StandIn:
            value.state = state
        elif type(value) is OrderedDict and type(state) is dict:  # a state dict's versions of the modules
            if type(metadata := state.get('_metadata')) is OrderedDict:
                value._metadata = metadata
        else:
            raise pickle.UnpicklingError(f'a state for a {type(value).__name__}')

    def load_append(self) -> None:
        entry = self.stack.pop()
        _entries(self.stack[-1], (list, deque)).append(entry)

    def load_appends(self) -> None:
        entries = self.pop_mark()
        _entries(self.stack[-1], (list, deque)).extend(entries)

    def load_setitem(self) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self._set([name], [value])

    def load_setitems(self) -> None:
        entries = self.pop_mark()
        self._set(entries[::2], entries[1::2])

    def _set(self, names: list, values: list) -> None:
        target = _entries(self.stack[-1], (dict, OrderedDict, Counter, defaultdict))
        pairs = list(zip(map(key, names), values, strict=True))
        target.extend(pairs) if type(target) is list else target.update(dict(pairs))

    def load_additems(self) -> None:
        entries = self.pop_mark()
        target = _entries(self.stack[-1], (set, ))
        target.extend(entries) if type(target) is list else target.update(map(key, entries))

    def load_frozenset(self) -> None:
        self.append(frozenset(map(key, self.pop_mark())))

    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if bytes([code]) not in _REMOVED}
    dispatch.update({
        pickle.REDUCE[0]: load_reduce, pickle.NEWOBJ[0]: load_reduce, pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.OBJ[0]: load_obj, pickle.INST[0]: load_inst, pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append, pickle.APPENDS[0]: load_appends, pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems, pickle.ADDITEMS[0]: load_additems, pickle.FROZENSET[0]: load_frozenset})
    dispatch = dict(zip(dispatch, map(_counted, dispatch.values())))


def read_pickle(content: bytes, values: Mapping[tuple[str, str], Any] = {}) -> Any:
    """Read a pickle; other objects than plain values and those of the table become stand-ins.

    Raises:
        Exception: Any, where the pickle is damaged or hostile; a ForeignError for a call that no data needs.
    """
    value = DataUnpickler(io.BytesIO(content), Budget(len(content)), values).load()
    check_tree(value, len(content))
    return value


def check_harmless(reference: Reference) -> None:
    """Refuse the call of a function of Python, NumPy or PyTorch that no data needs.

    It would not run in any case, but a file that asks for it is an attack, and the user should know.
    """
    package = reference.module.partition('.')[0]
    refused = package == '__builtin__' or package in sys.stdlib_module_names
    if package in ('numpy', 'torch'):
        found = getattr(sys.modules.get(reference.module), '__dict__', {}).get(reference.name)
        refused = not isinstance(found, type) and reference.module != 'numpy.random._pickle'
    if refused and not (package in _DATA_MODULES or str(reference) in _DATA_NAMES):
        raise ForeignError(f'it asks for {short(str(reference))}')


def _entries(target: Any, kinds: tuple[type, ...]) -> Any:
    return target.items if type(target) is StandIn else of_type(target, *kinds)
