"""Files and folders in memory, under one lock, with a memory of what listings showed."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

Path = tuple[str, ...]
SPILL = 1 << 20
PIECE = 1 << 18
_etags = itertools.count(1)


class Blob:
    """Bytes that only ever grow; above 1 MiB they live in an unnamed temporary file.

    Copies of a file share their blob, so that a copy of 300 MB costs nothing.
    """

    __slots__ = ("_data", "_file", "_lock", "size")

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self.size = len(data)

    def append(self, data: bytes) -> None:
        with self._lock:
            if self._file is None and self.size + len(data) <= SPILL:
                self._data += data
            else:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the blob
                    self._file.write(self._data)
                    self._data = b""
                self._file.seek(self.size)
                self._file.write(data)
            self.size += len(data)

    def read(self, start: int, length: int) -> bytes:
        with self._lock:
            if self._file is None:
                return self._data[start : start + length]
            self._file.seek(start)
            return self._file.read(length)

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        for at in range(start, start + length, PIECE):
            yield self.read(at, min(PIECE, start + length - at))

    def prefix(self) -> Blob:
        """What is there now, as a blob of its own: the copy of a growing file is torn."""
        torn = Blob()
        for piece in self.pieces(0, self.size):
            torn.append(piece)
        return torn

    def __bytes__(self) -> bytes:
        return self.read(0, self.size)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(slots=True)
class File:
    blob: Blob
    modified: float
    kind: str = "application/octet-stream"
    properties: dict[str, str] = field(default_factory=dict)
    etag: str = field(default_factory=lambda: f'"{next(_etags):x}"')
    growing: bool = False


@dataclass(slots=True)
class Folder:
    modified: float
    children: dict[str, File | Folder] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    journal: deque[tuple[float, str, File | Folder | None]] = field(default_factory=deque)
    """When a name changed and what it meant before, newest last; for listings that lag."""


Node = File | Folder


class Tree:
    """All methods expect the caller to hold `lock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.root = Folder(clock())
        self.longest_lag = 0.0

    def find(self, path: Path) -> Node | None:
        node: Node | None = self.root
        for name in path:
            if not isinstance(node, Folder):
                return None
            node = node.children.get(name)
        return node

    def folder(self, path: Path) -> Folder | None:
        node = self.find(path)
        return node if isinstance(node, Folder) else None

    def link(self, path: Path, node: Node) -> bool:
        """Put `node` at `path`, over whatever is there.  Whether something was."""
        parent = self.folder(path[:-1])
        if parent is None:
            raise LookupError(f"folder {path[:-1]} is gone")
        before = parent.children.get(path[-1])
        self._remember(parent, path[-1], before)
        parent.children[path[-1]] = node
        return before is not None

    def unlink(self, path: Path) -> Node | None:
        parent = self.folder(path[:-1])
        node = parent.children.pop(path[-1], None) if parent else None
        if parent is not None and node is not None:
            self._remember(parent, path[-1], node)
        return node

    def make_folders(self, path: Path) -> Folder | None:
        """The folder `path`, created with its parents; None if a file is in the way."""
        node: Node = self.root
        for depth, name in enumerate(path, 1):
            if not isinstance(node, Folder):
                return None
            if name not in node.children:
                self.link(path[:depth], Folder(self.clock()))
            node = node.children[name]
        return node if isinstance(node, Folder) else None

    def copy(self, node: Node, *, keep_mtime: bool, deep: bool = True) -> Node:
        modified = node.modified if keep_mtime else self.clock()
        properties = dict(node.properties)
        if isinstance(node, File):
            blob = node.blob.prefix() if node.growing else node.blob
            return File(blob, modified, node.kind, properties)
        children = node.children if deep else {}
        return Folder(
            modified,
            {name: self.copy(child, keep_mtime=keep_mtime) for name, child in children.items()},
            properties,
        )

    def view(self, folder: Folder, lag: float) -> dict[str, Node]:
        """The children of `folder` as they were `lag` seconds ago."""
        children = dict(folder.children)
        if lag > 0:
            now = self.clock()
            for changed, name, before in reversed(folder.journal):
                if changed <= now - lag:
                    break
                if before is None:
                    children.pop(name, None)
                else:
                    children[name] = before
        return children

    def _remember(self, folder: Folder, name: str, before: Node | None) -> None:
        folder.modified = now = self.clock()
        if self.longest_lag <= 0:
            return
        folder.journal.append((now, name, before))
        while folder.journal[0][0] < now - self.longest_lag:
            folder.journal.popleft()
