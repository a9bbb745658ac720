"""What a call is on the share: its job file, and its value.

A job file is ``dirjobs call 1``, a line of JSON (`Header`), and the pickle of ``(function,
arguments, keyword arguments)``.  Who reads no further than the header runs no code of others.
A value is ``dirjobs value 1``, a signature or dots in its place, and the pickle of
`Returned` or `Raised`.
"""

from __future__ import annotations

import io
import pickle  # nosec B403
import platform
import reprlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import BuiltinFunctionType, FunctionType
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec

from dirjobs.protocol.records import Text, decode
from dirjobs.store import MAX_READ

CALL_MAGIC = b"dirjobs call 1\n"
VALUE_MAGIC = b"dirjobs value 1 "
TAG_DIGITS = 64
NO_TAG = b"." * TAG_DIGITS
PROTOCOL = 5
"""Of pickle: every Python that runs dirjobs knows it."""
LARGE = 1 << 20
"""Bytes: an argument that has more of them is stored once, beside the calls."""
LARGE_BUFFER = 100_000
"""The same of an array, a text or bytes anywhere in an argument: finding them costs nothing."""

_LONGEST_SHOWN = 200

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Digests = Annotated[list[Digest], msgspec.Meta(max_length=10_000)]


class Header(msgspec.Struct, kw_only=True):
    """What a worker has to know of a call before it runs any of it.

    Attributes:
        function: its qualified name.
        shown: the call, for people, such as ``train(0.1, seed=3)``.
        python: by which the pickle was made, such as ``3.11``.
        packages: that the pickle refers to, and their versions; empty if unknown.
        stored: digests of the arguments that are stored beside the call.
        keeps: whether it uses checkpoints, which cost a request for each call.
    """

    function: Text
    shown: Text
    python: Text
    packages: dict[Text, Text] = {}
    stored: Digests = []
    keeps: bool = False


class Returned(NamedTuple):
    """A call has returned."""

    value: Any


class Raised(NamedTuple):
    """A call has raised.

    Attributes:
        error: the exception; None if it can't be pickled.
        told: its type and message, in one line.
        traceback: as Python prints it.
    """

    error: BaseException | None
    told: str
    traceback: str


class NotACall(ValueError):
    """A file is no call, or no value, of this format."""


class Packed(NamedTuple):
    """A call that is ready to be added.

    Attributes:
        header: see `Header`.
        payload: the pickle.
        stored: contents of what is stored beside it, by digest.
    """

    header: Header
    payload: bytes
    stored: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """The job's file."""
        return b"".join([CALL_MAGIC, msgspec.json.encode(self.header), b"\n", self.payload])


def this_python() -> str:
    """The version of Python as far as pickled functions depend on it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read_header(file: BinaryIO) -> Header:
    """The header of a call; `file` stands at the pickle afterwards.

    Raises:
        NotACall: it is something else.
    """
    if file.read(len(CALL_MAGIC)) != CALL_MAGIC:
        raise NotACall("it does not begin as a call does")
    line = file.readline(MAX_READ)
    try:
        return decode(line, Header)
    except ValueError as error:
        raise NotACall(f"its header makes no sense ({error})") from error


# -- pickling -----------------------------------------------------------------------------


def pack(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    digest_of: Callable[[bytes], str],
    named: str = "",
    count: int | None = None,
) -> Packed:
    """A call as it is stored.

    Functions and classes that are defined in ``__main__`` or in a notebook go along by value, all
    others by their names.

    Args:
        digest_of: names what is stored beside the call.
        named: what people are to see, if that is not `function`.
        count: how many calls of that it stands for; None: it is one.

    Raises:
        Exception: whatever an argument that can't be pickled raises.
    """
    what = (function, tuple(arguments), dict(keywords))
    packing = _Packing(digest_of)
    payload = packing.dumps(what)
    if len(payload) > LARGE:
        for argument in (*arguments, *keywords.values()):
            packing.store_if_large(argument)
        payload = packing.dumps(what)
    name = named or name_of(function)
    header = Header(
        function=name[:_LONGEST_SHOWN],
        shown=_shown(name, arguments, keywords) if count is None else _several(name, count),
        python=this_python(),
        packages=packing.packages(),
        stored=sorted(packing.stored),
    )
    return Packed(header, payload, packing.stored)


def name_of(function: Callable[..., Any]) -> str:
    """What people call a function, or anything else that can be called."""
    while (inner := getattr(function, "func", None)) is not None:  # functools.partial
        function = inner
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "")


def _several(name: str, count: int) -> str:
    calls = "1 call" if count == 1 else f"{count:,} calls"
    return f"{calls} of {name}"[:_LONGEST_SHOWN]


def _shown(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    def brief(value: Any) -> str:
        try:
            return reprlib.repr(value)
        except Exception:  # noqa: BLE001 - code of others, and for people only
            return f"<{type(value).__name__}>"

    parts = [*map(brief, arguments), *(f"{key}={brief(value)}" for key, value in keywords.items())]
    text = f"{name}({', '.join(parts)})"
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 4]}...)"


class _Packing:
    """Pickles one call: what is large is stored once, under the digest of its pickle."""

    def __init__(self, digest_of: Callable[[bytes], str]) -> None:
        self.stored: dict[str, bytes] = {}
        self._digest_of = digest_of
        self._known: dict[int, str] = {}
        """Digests of large objects by their `id`: the caller keeps them alive."""
        self._roots: set[str] = set()

    def dumps(self, what: object) -> bytes:
        target = io.BytesIO()
        pickler = _pickler()(target, protocol=PROTOCOL)
        pickler.packing, pickler.what = self, what
        pickler.dump(what)
        return target.getvalue()

    def stored_as(self, obj: object, around: object) -> str | None:
        """The digest of what is stored beside the pickle of `around`; None for the rest."""
        if obj is around:
            return None
        digest = self._known.get(id(obj))
        if digest is None and _is_large_buffer(obj):
            digest = self._store(obj, pickle.dumps(obj, PROTOCOL))
            if not isinstance(obj, str | bytes | bytearray):
                self.note_package(type(obj))
        return digest

    def store_if_large(self, argument: object) -> None:
        if id(argument) in self._known:
            return
        data = self.dumps(argument)
        if len(data) > LARGE:
            self._store(argument, data)

    def _store(self, obj: object, data: bytes) -> str:
        digest = self._digest_of(data)
        self.stored[digest] = data
        self._known[id(obj)] = digest
        return digest

    def note_package(self, obj: object) -> None:
        """Note to which package a class or a function belongs that goes along by name."""
        if isinstance(obj, type | FunctionType | BuiltinFunctionType):
            root = str(getattr(obj, "__module__", None) or "").partition(".")[0]
            if root and root != "__main__" and root not in sys.stdlib_module_names:
                self._roots.add(root)

    def packages(self) -> dict[str, str]:
        found = {}
        for root in sorted(self._roots):
            version = getattr(sys.modules.get(root), "__version__", "")
            found[root[:100]] = version[:100] if isinstance(version, str) else ""
        return found


@cache
def _pickler() -> Any:
    """The class that pickles: made once, and not before a call is made."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        packing: _Packing
        what: object

        def persistent_id(self, obj: object) -> str | None:
            return self.packing.stored_as(obj, self.what)

        def reducer_override(self, obj: object) -> Any:
            self.packing.note_package(obj)
            return super().reducer_override(obj)

    return Pickler


def _is_large_buffer(obj: object) -> bool:
    kind = type(obj)
    if kind in (bytes, bytearray, str):
        return len(obj) >= LARGE_BUFFER  # type: ignore[arg-type]
    if kind.__module__ != "numpy" or kind.__name__ != "ndarray":
        return False
    size: int = obj.nbytes  # type: ignore[attr-defined]
    return size >= LARGE_BUFFER and not obj.dtype.hasobject  # type: ignore[attr-defined]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, stored: Callable[[str], Any]) -> None:
        super().__init__(file)
        self._stored = stored

    def persistent_load(self, pid: Any) -> Any:
        return self._stored(str(pid))


def unpack(
    file: BinaryIO, content_of: Callable[[str], bytes]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Function, arguments and keyword arguments of a call.  This runs code that is in it.

    Args:
        file: at the pickle.
        content_of: gives what is stored beside the call, by digest.

    Raises:
        Exception: whatever the code raises, or what is missing.
    """
    found: dict[str, Any] = {}

    def stored(digest: str) -> Any:
        if digest not in found:
            found[digest] = _Unpickler(io.BytesIO(content_of(digest)), stored).load()
        return found[digest]

    function, arguments, keywords = _Unpickler(file, stored).load()
    return function, arguments, keywords


# -- values -------------------------------------------------------------------------------


def write_value(file: BinaryIO, outcome: Returned | Raised) -> None:
    """Write what came of a call, unsigned.

    Raises:
        Exception: whatever a value that can't be pickled raises.
    """
    import cloudpickle

    file.write(VALUE_MAGIC + NO_TAG + b"\n")
    cloudpickle.dump(outcome, file, protocol=PROTOCOL)


def put_tag(file: BinaryIO, tag: str) -> None:
    """Put a signature into a value that has none."""
    file.seek(len(VALUE_MAGIC))
    file.write(tag.encode())


def value_tag(file: BinaryIO) -> str:
    """The signature of a value, empty if it has none; `file` stands at the pickle afterwards.

    Raises:
        NotACall: it is no value.
    """
    head = file.read(len(VALUE_MAGIC) + TAG_DIGITS + 1)
    if len(head) < len(VALUE_MAGIC) + TAG_DIGITS + 1 or not head.startswith(VALUE_MAGIC):
        raise NotACall("it does not begin as a value does")
    tag = head[len(VALUE_MAGIC) : -1]
    return "" if tag == NO_TAG else tag.decode("ascii", "replace")


def value_subject(job: str) -> str:
    """What the signature of a call's value is about, beside its content: no job has a name with
    a slash in it."""
    return f"{job}/value"


def load_value(file: BinaryIO) -> Returned | Raised:
    """What came of a call.  This runs code that is in it.

    Raises:
        Exception: whatever the code raises; NotACall: it is nothing of that kind.
    """
    found = pickle.load(file)  # noqa: S301  # nosec B301
    if not isinstance(found, Returned | Raised):
        raise NotACall("it is neither a value nor an exception")
    return found


# -- what doesn't fit ---------------------------------------------------------------------


def python_problem(header: Header) -> str:
    """Why this Python can't run a call; empty if it can.  Code that goes along by value depends
    on the version, and so may values."""
    if header.python == this_python():
        return ""
    return (
        f"it was made by Python {header.python}, and this worker, on {platform.node()}, has"
        f" Python {this_python()}"
    )


def packages_problem(header: Header, error: BaseException) -> str:
    """What to tell of a call that can't be unpickled where a worker runs: which versions differ,
    if any do."""
    different = []
    for name, version in header.packages.items():
        ours = _version_here(name)
        if ours is None:
            different.append(f"{name}{f' {version}' if version else ''} (not installed here)")
        elif ours != version:
            different.append(f"{name} {version} ({ours or 'of unknown version'} here)")
    told = f"{type(error).__name__}: {error}"
    if different:
        return f"it needs {', '.join(different)}, on {platform.node()}: {told}"
    return f"it can't be loaded on {platform.node()}: {told}"


def _version_here(name: str) -> str | None:
    """The version of a package in this process; None if it can't be imported."""
    import importlib

    try:
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - code of others: whatever it is, it isn't usable here
        return None
    version = getattr(module, "__version__", "")
    return version if isinstance(version, str) else ""
