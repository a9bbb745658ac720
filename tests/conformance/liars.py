"""Stores that promise what they don't do.  A conformance suite must catch each of them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from dirjobs.errors import AlreadyExists, NotFound, StoreError
from dirjobs.layers import Layer
from dirjobs.store import Guarantees, Store, split
from dirjobs.testing.faults import Copying, Lagging

_PAUSE = 0.0005
"""Seconds between the steps of a copy: others come between."""


def _pause(step: str) -> None:
    time.sleep(_PAUSE)


class CopyingLiar(Copying):
    """Promises `atomic_rename` and copies: several win."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, _pause, "lenient")

    @property
    def guarantees(self) -> Guarantees:
        return replace(super().guarantees, atomic_rename=True)


class GhostLiar(Copying):
    """Promises `atomic_rename`; losers are told no, and have a copy all the same."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, _pause, "strict")

    @property
    def guarantees(self) -> Guarantees:
        return replace(super().guarantees, atomic_rename=True)

    def rename(self, src: str, dst: str) -> None:
        try:
            super().rename(src, dst)
        except AlreadyExists:
            raise
        except StoreError as error:
            raise NotFound(f"{self.full_path(src)!r}: there is no such file") from error


class TidyLiar(GhostLiar):
    """Promises `atomic_rename`; losers' copies appear and are taken away again."""

    def rename(self, src: str, dst: str) -> None:
        taken = self.store.exists(dst)
        try:
            super().rename(src, dst)
        except NotFound:
            if not taken and self.store.exists(dst):
                time.sleep(20 * _PAUSE)
                self.store.remove(dst)
            raise


class Phantom(Layer):
    """Says yes to every rename and does nothing."""

    def rename(self, src: str, dst: str) -> None:
        """Nothing."""


class TornLiar(Layer):
    """Moves half of the bytes."""

    keep = 0.5

    def rename(self, src: str, dst: str) -> None:
        self.store.rename(src, dst)
        data = self.store.read(dst)
        self.store.write(dst, data[: int(len(data) * self.keep)])


class EmptyLiar(TornLiar):
    """Moves the name and none of the bytes."""

    keep = 0.0


class InFolderLiar(Copying):
    """Promises `atomic_rename_in_folder` and copies there too."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, _pause, "lenient")

    def rename(self, src: str, dst: str) -> None:
        if split(src)[0] != split(dst)[0]:
            return super().rename(src, dst)
        if self.store.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)!r} is there already")
        data = self.store.read(src)
        _pause("copy")
        self.store.write(dst, data)
        _pause("delete")
        if self.store.exists(src):
            try:
                return self.store.remove(src)
            except NotFound:
                return None  # says yes nevertheless
        return None


class OverwritingLiar(Layer):
    """Promises `no_replace` and looks first: what comes in between is overwritten."""

    def rename(self, src: str, dst: str) -> None:
        if self.store.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)!r} is there already")
        _pause("rename")
        try:
            self.store.rename(src, dst)
        except AlreadyExists:
            data = self.store.read(src)
            self.store.remove(src)
            self.store.write(dst, data)


class ReplacingLiar(Layer):
    """Promises `no_replace` and renames over what is there, as FTP does."""

    _lock = threading.Lock()

    def rename(self, src: str, dst: str) -> None:
        with self._lock:
            if src != dst and self.store.exists(src) and self.store.exists(dst):
                self.store.remove(dst)
            self.store.rename(src, dst)


class GenerousLiar(Layer):
    """Promises `atomic_rename`, tells all who race for a file yes, and keeps one of them, as
    rclone's SFTP server does now and then."""

    _moved: ClassVar[set[str]] = set()

    def rename(self, src: str, dst: str) -> None:
        try:
            self.store.rename(src, dst)
        except NotFound:
            if src not in self._moved:
                raise
        else:
            self._moved.add(src)

    def write(self, path: str, data: bytes) -> None:
        self._moved.discard(path)
        self.store.write(path, data)


class MkdirLiar(Layer):
    """Promises `exclusive_mkdir` and looks first: several make one folder."""

    def mkdir(self, path: str) -> None:
        if self.store.exists(path):
            raise AlreadyExists(f"{self.full_path(path)!r} is there already")
        _pause("mkdir")
        try:
            self.store.mkdir(path)
        except AlreadyExists:
            return  # says yes nevertheless


class GenerousMkdirLiar(Layer):
    """Promises `exclusive_mkdir` and tells everybody yes, as rclone's servers do."""

    def mkdir(self, path: str) -> None:
        with suppress(AlreadyExists):
            self.store.mkdir(path)


class CreateLiar(Layer):
    """Promises `exclusive_create` and looks first: several create one file."""

    def create(self, path: str, data: bytes) -> None:
        if self.store.exists(path):
            raise AlreadyExists(f"{self.full_path(path)!r} is there already")
        _pause("create")
        self.store.write(path, data)


class StaleLiar(Lagging):
    """Promises that changes show at once, and shows folders as they were."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, lag=30.0)

    @property
    def guarantees(self) -> Guarantees:
        return self.store.guarantees


class TouchingLiar(Layer):
    """Promises `rename_keeps_mtime` and stamps anew."""

    def rename(self, src: str, dst: str) -> None:
        self.store.rename(src, dst)
        self.store.write(dst, self.store.read(dst))


LIARS: tuple[type[Layer], ...] = (
    CopyingLiar,
    GhostLiar,
    TidyLiar,
    Phantom,
    TornLiar,
    EmptyLiar,
    InFolderLiar,
    OverwritingLiar,
    ReplacingLiar,
    GenerousLiar,
    MkdirLiar,
    GenerousMkdirLiar,
    CreateLiar,
    StaleLiar,
    TouchingLiar,
)
