"""When two calls are the same: a digest of function, source and arguments.

Two calls are the same if their functions have the same name, source, defaults and closure, and
their arguments are of the same types and made of the same values: sets and dictionaries whatever
their order, objects by what pickle would store of them, classes of a program or a notebook by
their methods' source.  Two calls that differ never have one digest.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle  # nosec B403
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

from dirjobs.functions.calls import PROTOCOL


def identity(
    name: str, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> str:
    """64 hexadecimal digits that stand for a call.

    What a function uses without being given it, such as another function, is not looked at.

    Args:
        name: of the executor: calls of another one are other calls.

    Raises:
        Exception: whatever an argument that can't be pickled raises.
    """
    seen = _Digest()
    seen.add(("call", name))
    seen.add(function)
    seen.add(tuple(arguments))
    seen.add(dict(keywords))
    return seen.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._around: list[int] = []
        """The containers that are being looked at, by `id`: one may be in itself."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _put(self, kind: str, data: bytes) -> None:
        self._hash.update(f"{kind} {len(data)} ".encode() + data)

    def add(self, value: object) -> None:
        kind = type(value)
        if value is None or kind in (bool, int, complex):
            self._put(kind.__name__, repr(value).encode())
        elif kind is float:
            self._put("float", struct.pack("<d", value))
        elif kind is str:
            self._put("str", value.encode("utf-8", "surrogatepass"))  # type: ignore[attr-defined]
        elif kind in (bytes, bytearray):
            self._put(kind.__name__, bytes(value))  # type: ignore[call-overload]
        elif kind in (tuple, list, dict, set, frozenset):
            self._add_container(value)
        elif kind is FunctionType:
            self._add_function(value)  # type: ignore[arg-type]
        elif isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, MappingProxyType):
            self.add(dict(value))
        elif isinstance(value, BuiltinFunctionType | ModuleType):
            self._put("name", f"{getattr(value, '__module__', '')}.{value.__name__}".encode())
        elif kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            self._put("array", pickle.dumps(value, PROTOCOL))
        else:
            self._add_object(value)

    def _add_container(self, value: Any) -> None:
        kind = type(value)
        if id(value) in self._around:
            self._put("again", str(self._around.index(id(value))).encode())
            return
        self._around.append(id(value))
        self._put(kind.__name__, str(len(value)).encode())
        if kind is dict:
            self._add_all(sorted(map(self._of_item, value.items())))
        elif kind in (set, frozenset):
            self._add_all(sorted(map(self._of_one, value)))
        else:
            for one in value:
                self.add(one)
        self._around.pop()

    def _of_item(self, item: tuple[Any, Any]) -> str:
        return self._of_one(item[0]) + self._of_one(item[1])

    def _of_one(self, value: object) -> str:
        inner = _Digest()
        inner._around = list(self._around)
        inner.add(value)
        return inner.hexdigest()

    def _add_all(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._put("one", digest.encode())

    def _add_function(self, function: FunctionType) -> None:
        self._put("function", f"{function.__module__}.{function.__qualname__}".encode())
        try:
            self.add(inspect.getsource(function))
        except (OSError, TypeError):  # typed at a prompt, or made by exec
            self._add_code(function.__code__)
        if function.__name__ == "<lambda>":  # several may be on the same line
            self._add_code(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                inner = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            if inner is not function:
                self.add(inner)

    def _add_code(self, code: CodeType) -> None:
        self._put("code", code.co_code)
        self.add(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._add_code(constant)
            else:
                self.add(constant)

    def _add_class(self, kind: type) -> None:
        """By its name; one that goes along by value also by what it is made of."""
        self._put("class", f"{kind.__module__}.{kind.__qualname__}".encode())
        if kind.__module__ != "__main__" or id(kind) in self._around:
            return
        self._around.append(id(kind))
        for base in kind.__bases__:
            self.add(base)
        for name, value in sorted(vars(kind).items()):
            if name not in _OF_EVERY_CLASS:
                self._put("attribute", name.encode())
                self._add_member(value)
        self._around.pop()

    def _add_member(self, value: object) -> None:
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = (value.fget, value.fset)
        elif isinstance(value, MemberDescriptorType):
            value = value.__name__
        self.add(value)

    def _add_object(self, value: object) -> None:
        """By what pickle would store of it."""
        if id(value) in self._around:
            self._put("again", str(self._around.index(id(value))).encode())
            return
        self._around.append(id(value))
        kind = type(value)
        self._put("object", f"{kind.__module__}.{kind.__qualname__}".encode())
        made = value.__reduce_ex__(PROTOCOL)
        if isinstance(made, str):
            self._put("name", made.encode())
        else:
            make, arguments, state, items, pairs = (*made, None, None, None)[:5]
            for part in (make, arguments, state):
                self.add(part)
            for several in (items, pairs):
                self.add(None if several is None else list(several))
        self._around.pop()


_OF_EVERY_CLASS = frozenset(
    ["__dict__", "__weakref__", "__module__", "__doc__", "__static_attributes__", "__firstlineno__"]
)
