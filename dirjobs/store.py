"""The contract between dirjobs and the place where its folders are.

A `Store` is a few verbs and one honest record of what they guarantee.  Whoever writes
a backend needs this page only, and proves the result with `dirjobs.testing.StoreTests`.

Paths are relative to the store's root, use ``/``, and contain no empty, ``.`` or ``..``
segment; the empty path is the root itself.  Segments are arbitrary Unicode otherwise:
a backend encodes them, or says in `Store.name_problem` why it can't.  Backslashes, control
characters, lone surrogates and more than 199 bytes are reported there for every store.

A backend MUST NOT emulate what its medium cannot do in one native operation (a transaction
is one): a rename made of copy and delete is no rename.  It MUST translate every native
error into one of `dirjobs.errors`, and report as `AmbiguousResult` whatever it does not
know.  It MUST refuse a malformed path with ValueError (`check_path`), and SHOULD name the
path in its messages.

`NotFound` means that nothing is there, the store's root included; what is there but of the
wrong kind (a folder to be read, say) is `Denied`; a file to be listed may be `NotFound`.

It repeats nothing by itself: the layer `Retrying` is put around every store without local
paths, and repeats what an error allows.  A backend is registered as a function
``(url, options) -> Store`` under the entry-point group ``dirjobs.backends``, by the name of
its URL scheme.  That function connects to nothing yet, and raises `ConfigurationError` for
options that mean nothing to it.  docs/backends.md has a whole one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from dirjobs.errors import NotFound, TooLarge, Unsupported
from dirjobs.names import unsafe_name

MAX_ENTRIES = 300_000
"""Names in one folder that a backend for servers takes: some 60 MB.  A server that lies would go
on for ever."""

MAX_READ = 1 << 20
"""Bytes of a file that `Store.read` takes: what dirjobs itself writes is shorter."""


class FileKind(Enum):
    """What a name in a listing stands for."""

    FILE = "a regular file: what a job is"
    FOLDER = "a folder"
    OTHER = "a symbolic link, a device, a pipe: never followed, opened or removed"


class Entry(NamedTuple):
    """One name in a listing.

    Attributes:
        name: the last segment, decoded.
        mtime: seconds since the epoch by the *store's* clock; None if not told.
        size: bytes; None if not told.
        kind: FILE, FOLDER or OTHER.
        tag: what another writing of the file changes, as object storage tells it (ETag, version);
            None where the store has no such thing.
    """

    name: str
    mtime: float | None = None
    size: int | None = None
    kind: FileKind = FileKind.FILE
    tag: str | None = None


@dataclass(frozen=True)
class Guarantees:
    """What a store promises.  A field left out is a promise not made.

    Attributes:
        atomic_rename: of callers racing to rename one source, each to a name of its
            own, exactly one succeeds and no loser's name ever appears.
        atomic_rename_in_folder: the same, but only while source and destination are
            in one folder.
        rename_keeps_mtime: a renamed file shows the mtime it had.
        no_replace: `Store.rename` onto an existing file is refused in the same
            operation; without it the store can only look first.
        exclusive_mkdir: of callers racing to make one folder, exactly one succeeds.
        final_refusals: a rename that is answered with `NotFound` was not carried out: the
            answer is that of whoever renames, and not of a proxy on the way, which may have
            sent the request twice.  Without it whoever is told so looks at the destination.
        repeatable_rename: a rename that got no answer may be sent again, by the same store: the
            answer then tells whether the file was renamed by it, or by somebody else.
        exclusive_create: of callers racing to `Store.create` one file, exactly one succeeds.
        visible_after: seconds until a finished change is in everybody's listing;
            0 is linearizable, None means that no bound is known.
    """

    atomic_rename: bool = False
    atomic_rename_in_folder: bool = False
    rename_keeps_mtime: bool = False
    no_replace: bool = False
    exclusive_mkdir: bool = False
    final_refusals: bool = False
    repeatable_rename: bool = False
    exclusive_create: bool = False
    visible_after: float | None = None


class Store(ABC):
    """A folder somewhere.  Safe to use from several threads; starts afresh after a fork: a
    child shares no connection with its parent.

    Every verb raises `StoreError` or one of its subclasses and nothing else (wrong
    arguments apart).  ``repr()`` and messages never show a secret.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where this store is, in a form that a person may read: secrets removed."""

    @property
    @abstractmethod
    def guarantees(self) -> Guarantees:
        """What this store promises; see `Guarantees`."""

    # -- what the protocol asks: list, rename, exists ---------------------------------

    @abstractmethod
    def list(self, folder: str) -> Iterable[Entry]:
        """What is in `folder`, in any order, asked for in one request where possible.

        A name that goes away while the listing is made is left out; a link or a device is
        listed as `FileKind.OTHER`, whatever it leads to.  The listing
        reflects a moment not before the call (`Guarantees.visible_after` apart): a
        backend caches nothing.

        Raises:
            NotFound: there is no such folder.
        """

    @abstractmethod
    def rename(self, src: str, dst: str) -> None:
        """Rename one file by one native operation, sent once and never repeated.

        An existing `dst` is never replaced, and `src` itself is an existing `dst`.  Only
        files are renamed, not folders.

        Raises:
            NotFound: `src` (or the folder of `dst`) is not there.
            AlreadyExists: `dst` is there; nothing changed.
            AmbiguousResult: it may or may not have happened, or may still happen.
        """

    def claim(self, src: str, dst: str) -> None:
        """`rename` to a name of the caller's own, for which nobody else ever asks: what matters
        is that of all callers who race for `src` one has it.

        A store's one operation for that may replace what is there; for all others this is
        `rename`.  Nothing is there: a worker for whose id there are claims when it begins takes
        another name, and asks for no name twice.

        Raises:
            NotFound, AlreadyExists, AmbiguousResult: as `rename`.
        """
        self.rename(src, dst)

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether a file or folder is there; False only if the store said so.

        False also below a folder that is missing.
        """

    @abstractmethod
    def mtime(self, path: str) -> float:
        """When `path` was last written: seconds since the epoch, the store's clock.

        Raises:
            NotFound: there is no such file.
        """

    # -- contents and housekeeping -----------------------------------------------------

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The whole content of a small file, for which reading stops after `MAX_READ` bytes
        (`SmallFile` does that).

        Raises:
            NotFound: there is no such file.
            TooLarge: it is larger; see `download`.
        """

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Create or replace a (small) file; its folder must exist.

        Readers see the old or the new content, nothing between, where the medium can.

        Raises:
            NotFound: the folder is not there.
        """

    @abstractmethod
    def download(self, path: str, target: BinaryIO) -> None:
        """Copy a file's content into `target`, in pieces: memory stays flat.

        Raises:
            NotFound: there is no such file.
        """

    @abstractmethod
    def upload(self, path: str, source: BinaryIO) -> None:
        """Create or replace a file from `source`, in pieces; durable where possible.

        The file may be visible while it grows, so callers upload to a staging name.
        `source` is read from its current position to its end, once.

        Raises:
            NotFound: the folder is not there.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete one file (never a folder).

        Raises:
            NotFound: there is no such file.
        """

    @abstractmethod
    def mkdir(self, path: str) -> None:
        """Make one folder.  The empty path makes the store's root (and, where the medium
        is a local file system, the folders above it).

        Raises:
            AlreadyExists: something of that name is there.
            NotFound: the parent folder is not there.
        """

    def rmdir(self, path: str) -> None:
        """Remove one empty folder.  The queue needs it nowhere; `dirjobs check` tidies up
        with it.

        Raises:
            NotFound: there is no such folder.
            Denied: something is in it, or it is a file.
            Unsupported: this store can't; so is every store that doesn't say otherwise.
        """
        raise Unsupported(f"{self!r} removes no folders ({path!r} is left there).")

    # -- what may differ from store to store -------------------------------------------

    def create(self, path: str, data: bytes) -> None:
        """Create a (small) file that is not there, whole, by one native operation, sent once.

        Asked for only of stores that promise `Guarantees.exclusive_create`: those without a
        rename, where a queue rests on it.

        Raises:
            AlreadyExists: something of that name is there, and was not replaced; perhaps it is
                one's own, where something on the way has sent the request twice.
            NotFound: the folder is not there.
            AmbiguousResult: it may or may not have happened, or may still happen: read it.
            Unsupported: this store can't; so is every store that doesn't say otherwise.
        """
        raise Unsupported(f"{self!r} creates nothing exclusively ({path!r}, {len(data)} bytes).")

    def stat(self, path: str) -> Entry:
        """A file as its folder lists it; one request where possible.

        Raises:
            NotFound: there is no such file.
        """
        folder, name = split(check_path(path))
        for entry in self.list(folder):
            if entry.name == name:
                return entry
        raise NotFound(f"{self.full_path(path)!r}: there is no such file")

    def beginning(self, folder: str, text: str) -> Iterable[Entry]:
        """The entries of a folder whose names begin with `text`; in one request where possible.
        None for a folder that is missing."""
        try:
            return [entry for entry in self.list(folder) if entry.name.startswith(text)]
        except NotFound:
            return []

    names_suffice: bool = False
    """True for local disks: sizes and times cost a call each, and every call gets its answer.
    Workers in mode trust then list names only (`names_of_files`)."""

    appends: bool = False
    """Whether `append` is there, and costs less than writing the file whole."""

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file that nobody else writes.  Asked for only of stores that say
        `appends`.  If it fails, some of `data` may be there.

        Raises:
            NotFound: there is no such file.
            Unsupported: this store can't; so is every store that doesn't say otherwise.
        """
        raise Unsupported(f"{self!r} adds to no file ({path!r}, {len(data)} bytes).")

    def names_of_files(self, folder: str) -> Iterable[str]:
        """The names of the regular files in `folder`; the same promises as `list`.

        Raises:
            NotFound: there is no such folder.
        """
        return [entry.name for entry in self.list(folder) if entry.kind is FileKind.FILE]

    def name_problem(self, name: str) -> str | None:
        """Why `name` (one segment) can't be used on this store; None if it can.

        Names that other programs put there and that this store would mangle, lose or
        confuse must be reported here; the claim protocol then leaves them alone.
        A backend adds its own reasons to the ones that hold everywhere.
        """
        return unsafe_name(name)

    def rename_problem(self, folder: str, name: str) -> str | None:  # noqa: ARG002
        """Why nothing can be renamed to `name` (one segment) in `folder`; None if it can, as far
        as is known.  A store that can find out only by trying may send requests for it.

        Raises:
            StoreError: it can't be found out now.
        """
        return self.name_problem(name)

    def full_path(self, path: str) -> str:
        """`path` as the user would write it: a local path or a URL without secrets.

        It ends with `path`.
        """
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def local_path(self, path: str) -> str | None:  # noqa: ARG002
        """Where a program on this machine finds `path`; None if it can't without us."""
        return None

    def follow(self, folders: Iterable[str]) -> None:
        """Let these folders be symbolic links, where the store would refuse them."""

    def another(self) -> Store:
        """A store on the same place with a connection of its own (for another thread).

        Stores without connections return themselves.
        """
        return self

    def close(self) -> None:
        """Give connections back; closing twice is fine, and so is using it afterwards
        (it connects again)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class SmallFile:
    """What was read of a file so far.

    Args:
        shown: the file, for messages.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Take in the next piece.

        Raises:
            TooLarge: the file has more than `MAX_READ` bytes.
        """
        self._size += len(piece)
        if self._size > MAX_READ:
            raise TooLarge(
                f"{self._shown} has more than {MAX_READ:,} bytes: as a whole it is only copied into"
                " a file."
            )
        self._pieces.append(piece)

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)


def split(path: str) -> tuple[str, str]:
    """The folder and the last segment of a store path."""
    folder, _, name = path.rpartition("/")
    return folder, name


def check_path(path: str) -> str:
    """`path`, if it is a well-formed store path.

    Raises:
        ValueError: it is absolute, or has an empty, ``.`` or ``..`` segment, or a NUL.
    """
    if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is not a store path: relative, without '.' and '..' segments")
    if "\0" in path:
        raise ValueError(f"{path!r} is not a store path: it contains a NUL")
    return path
