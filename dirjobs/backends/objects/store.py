"""The verbs of a Store as requests for objects: one each, where one can do it.

There are no folders in a bucket.  A folder here is what a common prefix of keys is; an empty
one, or one that was made, has an object ``.folder``, which no listing shows.  So a file may be
written into a folder that nobody made.
"""

from __future__ import annotations

import builtins
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, BinaryIO

from dirjobs.backends._config import refuse_pickling
from dirjobs.backends.objects.config import Config
from dirjobs.backends.objects.library import library
from dirjobs.backends.objects.status import Verb, error_for
from dirjobs.backends.objects.transfer import PIECE, first_piece, pieces_of
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    NotFound,
    StoreError,
    Unsupported,
)
from dirjobs.names import unsafe_name
from dirjobs.store import (
    MAX_ENTRIES,
    MAX_READ,
    Entry,
    FileKind,
    Guarantees,
    SmallFile,
    Store,
    check_path,
    split,
)

MARK = ".folder"
"""The object that makes a prefix a folder."""
_PROMISES = Guarantees(exclusive_create=True, visible_after=0)
_AT_ONCE = 4
"""Pieces of an upload under way at the same time."""


class ObjectStore(Store):
    """Objects under a prefix of a bucket, or container.

    It promises that of those who create one object one succeeds, as the services document it; a
    server that takes the condition and ignores it is found out before a queue is begun.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._guarantees = config.guarantees or _PROMISES
        # By process: no thread of the library survives a fork.
        self._clients: dict[int, Any] = {}

    @property
    def url(self) -> str:
        return self._config.url

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    def name_problem(self, name: str) -> str | None:
        if name == MARK:
            return "it is the name by which empty folders are kept"
        if name.endswith("."):
            return "it ends with '.', which Azure drops"
        return unsafe_name(name)

    def another(self) -> ObjectStore:
        return ObjectStore(self._config)

    def close(self) -> None:
        self._clients.pop(os.getpid(), None)

    __reduce__ = refuse_pickling

    def _client(self) -> Any:
        pid = os.getpid()
        client = self._clients.get(pid)
        return client or self._clients.setdefault(pid, _connect(self._config))

    def _key(self, path: str) -> str:
        check_path(path)
        prefix = self._config.prefix
        return f"{prefix}/{path}" if prefix and path else prefix or path

    # -- what the protocol asks: list, create, exists -----------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        entries, is_there = self._inside(folder)
        if not is_there and self._key(folder):
            raise NotFound(f"there is no folder {self.full_path(folder)!r}.")
        return entries

    def _inside(self, folder: str) -> tuple[builtins.list[Entry], bool]:
        """What is in a folder, and whether there is anything of it at all."""
        key = self._key(folder)
        with self._translated(Verb.LIST, folder):
            found = library().list_with_delimiter(self._client(), key or None)
        # SeaweedFS shows a folder that lost its last file as an object of its own name.
        objects = [about for about in found["objects"] if about["path"] != key]
        prefixes = found["common_prefixes"]
        if len(objects) + len(prefixes) > MAX_ENTRIES:
            raise StoreError(f"{self.full_path(folder)!r} has more than {MAX_ENTRIES:,} entries.")
        start = len(key) + 1 if key else 0
        entries = [
            Entry(name, kind=FileKind.FOLDER)
            for name in (prefix[start:].rstrip("/") for prefix in prefixes)
            if _is_name(name)
        ]
        for about in objects:
            name = about["path"][start:]
            if _is_name(name) and name != MARK:
                entries.append(_entry(name, about))
        return entries, bool(objects or prefixes)

    def beginning(self, folder: str, text: str) -> Iterable[Entry]:
        # Keys come in order: the first page that begins right before those wanted has them.
        start = f"{key}/" if (key := self._key(folder)) else ""
        found = []
        with self._translated(Verb.LIST, folder):
            pages = library().list(
                self._client(), key or None, offset=f"{start}{text[:-1]}", chunk_size=100
            )
            for about in itertools.chain.from_iterable(pages):
                name = about["path"][len(start) :]
                if name.startswith(text):
                    if "/" not in name and _is_name(name) and name != MARK:
                        found.append(_entry(name, about))
                elif name > text:
                    break
        return found

    def rename(self, src: str, dst: str) -> None:
        check_path(src)
        check_path(dst)
        raise Unsupported(
            f"object storage renames nothing ({self.full_path(src)!r} to {self.full_path(dst)!r})."
        )

    def create(self, path: str, data: bytes) -> None:
        key = self._object(path)
        with self._translated(Verb.CREATE, path):
            library().put(self._client(), key, data, mode="create", use_multipart=False)

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except NotFound:
            return self._is_folder(path)
        return True

    def _is_folder(self, path: str) -> bool:
        return self._inside(path)[1] or not self._key(path)

    def stat(self, path: str) -> Entry:
        key = self._object(path)
        with self._translated(Verb.LOOK, path):
            about = library().head(self._client(), key)
        return _entry(split(path)[1], about)

    def mtime(self, path: str) -> float:
        found = self.stat(path).mtime
        if found is None:
            raise StoreError(f"the server tells no time of {self.full_path(path)!r}.")
        return found

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        key, small = self._object(path), SmallFile(repr(self.full_path(path)))
        with self._translated(Verb.GET, path):
            found = library().get(self._client(), key)
            if found.meta["size"] <= MAX_READ:
                small.write(bytes(found.bytes()))
                return small.content()
        small.write(b"\0" * (MAX_READ + 1))
        return small.content()

    def _object(self, path: str) -> str:
        """The key of an object; the prefix itself is none."""
        key = self._key(path)
        if not path:
            raise NotFound(f"{self.full_path(path)!r} is no object.")
        return key

    def write(self, path: str, data: bytes) -> None:
        key = self._object(path)
        with self._translated(Verb.PUT, path):
            library().put(self._client(), key, data, use_multipart=False)

    def download(self, path: str, target: BinaryIO) -> None:
        key = self._object(path)
        with self._translated(Verb.GET, path):
            found = library().get(self._client(), key)
            size, tag = found.meta["size"], found.meta["e_tag"]
            whole = bytes(found.bytes()) if size <= PIECE or tag is None else None
        if whole is not None:
            target.write(whole)
            return
        del found  # its body is asked for in pieces, each within the time of a request
        for start in range(0, size, PIECE):
            options = {"range": (start, min(start + PIECE, size)), "if_match": tag}
            with self._translated(Verb.GET, path):
                piece = bytes(library().get(self._client(), key, options=options).bytes())
            target.write(piece)

    def upload(self, path: str, source: BinaryIO) -> None:
        key = self._object(path)
        first, whole = first_piece(source)
        with self._translated(Verb.PUT, path):
            if whole:
                library().put(self._client(), key, first, use_multipart=False)
                return
            library().put(
                self._client(),
                key,
                pieces_of(first, source),
                use_multipart=True,
                chunk_size=PIECE,
                max_concurrency=_AT_ONCE,
            )

    def remove(self, path: str) -> None:
        # A DELETE of what is not there is fine to S3, so look first.
        self.stat(path)
        with self._translated(Verb.DELETE, path):
            library().delete(self._client(), self._key(path))

    def mkdir(self, path: str) -> None:
        key = self._key(path)
        if path:
            above, name = split(path)
            listing = {entry.name for entry in self._inside(above)[0]}
            if name in listing:
                raise AlreadyExists(f"{self.full_path(path)!r} is there already.")
            if above and not self._is_folder(above):
                raise NotFound(f"there is no folder {self.full_path(above)!r}.")
        try:
            with self._translated(Verb.CREATE, path):
                library().put(
                    self._client(),
                    f"{key}/{MARK}" if key else MARK,
                    b"",
                    mode="create",
                    use_multipart=False,
                )
        except AlreadyExists as error:
            raise AlreadyExists(f"{self.full_path(path)!r} is there already.") from error

    # -- errors ------------------------------------------------------------------------

    @contextmanager
    def _translated(self, verb: Verb, path: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as native:  # whatever the library, or a copy of it, raises
            error = error_for(verb, native, self.full_path(path), self._config.server)
            if isinstance(error, NotFound) and verb is Verb.PUT:
                # Of an upload in pieces, or of the bucket.
                error = AmbiguousResult(str(error))
            told = str(native)
            if any(secret in told for secret in self._config.secrets) or "sig=" in told:
                raise error from None
            raise error from native


def _connect(config: Config) -> Any:
    """The library's object for a place; nothing is sent yet."""
    stores = library().store
    kind = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}[config.kind]
    once = {"max_retries": 0, "retry_timeout": timedelta(seconds=config.timeout)}
    return getattr(stores, kind)(
        config.bucket,
        config=dict(config.settings),
        client_options=dict(config.client),
        retry_config=once,
    )


def _is_name(name: str) -> bool:
    """Whether a part of a key is a name that a Store may show."""
    problem = unsafe_name(name)
    return bool(name) and (problem is None or problem.startswith("it is "))  # long ones are shown


def _entry(name: str, about: Any) -> Entry:
    time, tag = about["last_modified"], about["e_tag"]
    return Entry(
        name,
        None if time is None else time.timestamp(),
        about["size"],
        tag=tag and tag.strip('"'),  # Azure quotes it in one answer, and not in another
    )
