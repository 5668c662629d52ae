"""Reading of pickles as data, without importing or calling anything that a pickle names.

The opcodes are those of Python's own ``pickle._Unpickler``. Opcodes that import, call, restore or fill an object are
replaced. A name becomes a :class:`Reference`. A call of a name becomes a value from a table or a :class:`StandIn`. A
pickle can't access any object of the process.
"""
import io
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .limits import Budget, check_key, check_keys, check_tree, of_type, short

MAX_RECURSIVE = 10 ** 4
_MAX_NAME = 1000  # characters
_COSTS = {pickle.EMPTY_SET[0]: 256, pickle.BINPERSID[0]: 256}  # bytes; 32 for other opcodes, and 128 more for a call
# Modules of Python's library whose objects are data. Weights need no calls of its other modules; those may be attacks.
_DATA_MODULES = {'argparse', 'array', 'collections', 'copyreg', 'datetime', 'decimal', 'enum', 'fractions', 'pathlib',
                 'random', 're', 'types', 'uuid', 'zoneinfo'}
_DATA_NAMES = {f'{builtins}.{name}' for builtins in ('builtins', '__builtin__') for name in ('getattr', 'object')}
_DATA_NAMES |= {'functools.partial'}
_REMOVED = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)


class ForeignError(pickle.UnpicklingError):
    """Error: a pickle asks for a function or type that data does not need."""


@dataclass(frozen=True, repr=False)
class Reference:
    """Name of a class or function that is not imported."""
    module: str
    name: str

    def __str__(self) -> str:
        return short(f'{self.module}.{self.name}')

    __repr__ = __str__


@dataclass(eq=False)
class StandIn:
    """Record of an object whose class is not imported.

    Attributes:
        kind (str): Name of the class or function, such as ``'argparse.Namespace'``.
        args (tuple): Arguments of the call.
        state (object): Attributes as a dict, or another state.
        items (list): Added entries or key-value pairs.
    """
    kind: str
    args: tuple = field(default=(), repr=False)
    state: Any = field(default=None, repr=False)
    items: list = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return self.kind


def _counted(code: int, load: Callable) -> Callable:
    """Wrap the function of an opcode so that it subtracts the memory of a small object from the budget."""
    def run(unpickler: 'DataUnpickler') -> None:
        unpickler.budget.spend(_COSTS.get(code, 32))
        load(unpickler)
    return run


class DataUnpickler(pickle._Unpickler):
    """Unpickler of plain values and the values of a table; a :class:`StandIn` replaces any other object.

    Args:
        file (BinaryIO): File whose ``read(n)`` returns the available bytes and does not allocate n bytes first.
        budget (Budget): Memory limit of the values.
        values (Mapping): Maps (module, name) to a function that makes a value from the arguments of a call, or to a
            constant. Maps the type of a value to the function that sets its state. The functions must check their
            arguments.
    """

    def __init__(self, file: BinaryIO, budget: Budget, values: Mapping[Any, Any]) -> None:
        super().__init__(file, encoding='utf-8')  # as torch.load
        self.budget, self.values, self.recursive = budget, values, 0

    def find_class(self, module: str, name: str) -> Any:
        if len(module) + len(name) > _MAX_NAME:
            raise pickle.UnpicklingError('a name that is too long')
        value = self.values.get((module, name))
        return Reference(module, name) if value is None or callable(value) else value

    def make(self, reference: Any, args: Any) -> Any:
        """Make the value that a call of a name returns: a value from the table or a stand-in."""
        if type(reference) is not Reference or type(args) is not tuple:
            raise pickle.UnpicklingError('a call of an object that is not a name')
        self.budget.spend(128)
        self.budget.copy(args)
        if known := self.values.get((reference.module, reference.name)):
            return self._guarded(known(*args))
        check_harmless(reference)
        if reference.module == 'copyreg' and args and type(args[0]) is Reference:  # _reconstructor(class, base, state)
            return self.make(args[0], args[1:])
        return StandIn(str(reference), args)

    def _guarded(self, value: Any) -> Any:
        """Limit the number of deques and defaultdicts: Python frees them by recursion, so a long chain can crash."""
        self.recursive += type(value) in (deque, defaultdict)
        if self.recursive > MAX_RECURSIVE:
            raise pickle.UnpicklingError(f'more than {MAX_RECURSIVE} deques and defaultdicts')
        return value

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        keywords, args = of_type(self.stack.pop(), dict), of_type(self.stack.pop(), tuple)
        self.budget.copy(args)
        self.stack[-1] = self.make(self.stack[-1], (*args, keywords) if keywords else args)

    def load_obj(self) -> None:
        reference, *args = self.pop_mark()
        self.append(self.make(reference, tuple(args)))

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode('ascii') for _ in range(2))
        args = self.pop_mark()  # first, since it replaces self.append
        self.append(self.make(self.find_class(module, name), tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        value = self.stack[-1]
        if restore := self.values.get(type(value)):
            self.budget.copy(of_type(state, tuple, dict))
            restore(value, state)
        elif type(value) is StandIn:
            value.state = state
        else:
            raise pickle.UnpicklingError(f'a state for a {type(value).__name__}')

    def load_put(self) -> None:
        self.memo[check_key(int(self.readline()[:-1]))] = self.stack[-1]

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    def load_append(self) -> None:
        entry = self.stack.pop()
        _entries(self.stack[-1], list, deque).append(entry)

    def load_appends(self) -> None:
        entries = self.pop_mark()
        _entries(self.stack[-1], list, deque).extend(entries)

    def load_setitem(self) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self._set([name], [value])

    def load_setitems(self) -> None:
        entries = self.pop_mark()
        self._set(entries[::2], entries[1::2])

    def load_dict(self) -> None:
        entries = self.pop_mark()
        self.append({})
        self._set(entries[::2], entries[1::2])

    def _set(self, names: list, values: list) -> None:
        target = _entries(self.stack[-1], dict, OrderedDict, Counter, defaultdict)
        pairs = zip(check_keys(names, len(target)), values, strict=True)
        if type(target) is list:
            return target.extend(pairs)
        for name, value in pairs:  # Counter.update() would add the counts
            target[name] = value

    def load_additems(self) -> None:
        entries = self.pop_mark()
        target = _entries(self.stack[-1], set)
        target.extend(entries) if type(target) is list else target.update(check_keys(entries, len(target)))

    def load_frozenset(self) -> None:
        entries = self.pop_mark()  # first, since it replaces self.append
        self.append(frozenset(check_keys(entries)))

    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if bytes([code]) not in _REMOVED}
    dispatch.update({
        pickle.REDUCE[0]: load_reduce, pickle.NEWOBJ[0]: load_reduce, pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.OBJ[0]: load_obj, pickle.INST[0]: load_inst, pickle.BUILD[0]: load_build, pickle.PUT[0]: load_put,
        pickle.BYTEARRAY8[0]: load_bytearray8, pickle.APPEND[0]: load_append, pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems, pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems, pickle.FROZENSET[0]: load_frozenset})
    dispatch = dict(zip(dispatch, map(_counted, dispatch.keys(), dispatch.values())))


def read_pickle(content: bytes, values: Mapping[Any, Any] = {}) -> Any:
    """Read a pickle; a stand-in replaces each object that is neither a plain value nor in the table.

    Raises:
        ForeignError: If the pickle calls a function that data does not need.
        Exception: Any other exception, if the pickle is damaged or hostile.
    """
    value = DataUnpickler(io.BytesIO(content), Budget(len(content)), values).load()
    check_tree(value, len(content))
    return value


def check_harmless(reference: Reference) -> None:
    """Refuse a call of a function of Python, NumPy or PyTorch that data does not need.

    The function never runs. The error tells the user that the file may be an attack.

    Raises:
        ForeignError: If the call is refused.
    """
    package = reference.module.partition('.')[0]
    refused = package == '__builtin__' or package in sys.stdlib_module_names
    if package in ('numpy', 'torch'):
        found = getattr(sys.modules.get(reference.module), '__dict__', {}).get(reference.name)
        refused = not isinstance(found, type) and not reference.module.startswith('numpy.random.')
    if refused and not (package in _DATA_MODULES or str(reference) in _DATA_NAMES):
        raise ForeignError(f'it asks for {reference}')


def _entries(target: Any, *kinds: type) -> Any:
    return target.items if type(target) is StandIn else of_type(target, *kinds)
