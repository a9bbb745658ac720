"""Folders of this machine, through the operating system (Linux, macOS, Windows)."""

from dirjobs.backends.posix.store import PosixStore, open_store

__all__ = ["PosixStore", "open_store"]
