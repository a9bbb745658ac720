"""The key with which jobs are signed, and where this machine keeps it.

A signature says that whoever has the key wants this content to be a job of this name in this
queue.  It is an HMAC (RFC 2104) with SHA-256, so who checks it could also have made it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
import unicodedata
from typing import BinaryIO

from dirjobs import keyrings
from dirjobs.errors import ConfigurationError
from dirjobs.keyrings import NoKeyring
from dirjobs.layout import queue_around

KEY_FILE_VARIABLE = "DIRJOBS_KEY_FILE"
"""Names the file with the key."""

_BYTES = 32
_PIECE = 1 << 20
_KEY = re.compile(r"[0-9a-f]{64}")
_SERVICE, _USER = "dirjobs", "signing key"
_PURPOSE = b"dirjobs job 1"


class SigningKey:
    """A key of 32 bytes; its `repr` does not show it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, what: bytes) -> str:
        """What signs a `subject`: 64 hexadecimal digits."""
        return hmac.new(self._secret, what, hashlib.sha256).hexdigest()

    def has_signed(self, what: bytes, signature: bytes) -> bool:
        """Whether `signature`, which anybody may have written, is that of a `subject`."""
        return hmac.compare_digest(self.sign(what).encode(), signature)

    def __repr__(self) -> str:
        return "<SigningKey>"


def subject(queue_id: str, job: str, content: BinaryIO) -> bytes:
    """What a signature is about.

    Args:
        queue_id: the queue's own id: elsewhere the signature is worth nothing.
        job: the job's name; in whichever Unicode form.
        content: the job's file, read from here to its end.
    """
    name = unicodedata.normalize("NFC", job)
    digest = hashlib.sha256()
    while piece := content.read(_PIECE):
        digest.update(piece)
    parts = queue_id.encode(), name.encode("utf-8", "surrogateescape"), digest.digest()
    return b"\0".join([_PURPOSE, *parts])


def this_machines_key(path: str | None = None) -> SigningKey:
    """The key from a file, by default the one that `KEY_FILE_VARIABLE` names, or else from
    this user's keyring.

    Args:
        path: the file.

    Raises:
        ConfigurationError: there is no key, or others can read it.
    """
    path = path or os.environ.get(KEY_FILE_VARIABLE)
    if path:
        _refuse_a_queue(path)
    text = _read(path) if path else _from_keyring()
    if text is None:
        raise ConfigurationError(
            "there is no key to sign jobs with in this user's keyring: make one with `dirjobs key`,"
            f" or name a file with it by --key-file or {KEY_FILE_VARIABLE}."
        )
    if not _KEY.fullmatch(text.strip()):
        where = repr(path) if path else "this user's keyring"
        raise ConfigurationError(
            f"what is in {where} is no key of `dirjobs key`, which has 64 hexadecimal digits."
        )
    return SigningKey(bytes.fromhex(text.strip()))


def make_key(path: str | None = None) -> None:
    """Make a key, and keep it in a new file that only this user can read, or in the keyring.

    Raises:
        ConfigurationError: there is one already, or it can't be kept there.
    """
    text = secrets.token_hex(_BYTES)
    if path is None:
        if _from_keyring() is not None:
            raise ConfigurationError(
                "this user's keyring has a key for dirjobs already: leave it, or make one in a"
                " file with --file."
            )
        try:
            keyrings.put(_SERVICE, _USER, text)
        except NoKeyring as error:
            raise _no_keyring(error) from error
        return
    _refuse_a_queue(path)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{text}\n")
    except FileExistsError:
        raise ConfigurationError(f"{path!r} is there already: name another file.") from None
    except OSError as error:
        raise ConfigurationError(f"{path!r} can't be written: {error.strerror}.") from error


def _refuse_a_queue(path: str) -> None:
    """Refuse a file among those of a queue: whoever reads the share could sign, and whoever
    writes to it could put another key there."""
    for place in (os.path.abspath(path), os.path.realpath(path)):
        if queue := queue_around(os.path.dirname(place)):
            raise ConfigurationError(
                f"the key may not be in {path!r}: {queue!r} is a queue, where others may read"
                " and change it; keep it elsewhere, and make a new one if it was there."
            )


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            if sys.platform != "win32":
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise ConfigurationError(
                        f"others can read or change the key in {path!r} (its mode is {mode:03o}):"
                        f" write `chmod 600 {path}`, and make a new one if it may be known."
                    )
            return file.read(_BYTES * 8)
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise ConfigurationError(f"the key in {path!r} can't be read: {error.strerror}.") from error


def _from_keyring() -> str | None:
    try:
        return keyrings.get(_SERVICE, _USER)
    except NoKeyring as error:
        raise _no_keyring(error) from error


def _no_keyring(why: NoKeyring) -> ConfigurationError:
    instead = f"named by --key-file or {KEY_FILE_VARIABLE} (`dirjobs key --file FILE` makes one)."
    if not why.is_installed:
        return ConfigurationError(
            "the key is looked for in the keyring, which needs `pip install keyring`: or keep it"
            f" in a file, {instead}"
        )
    return ConfigurationError(
        f"this user's keyring can't be used ({why}): keep the key in a file, {instead}"
    )
