"""What strangers' exceptions mean, told with their reason and without anybody's secret."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import fsspec.config

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.redaction import redacted

# In this order: the first that fits.  What is in neither table is not known.
_ERRORS: tuple[tuple[type[Exception], type[StoreError]], ...] = (
    (FileNotFoundError, NotFound),
    (NotADirectoryError, NotFound),
    (FileExistsError, AlreadyExists),
    (IsADirectoryError, Denied),
    (PermissionError, Denied),
    (NotImplementedError, Unsupported),
)
_ERRNOS: dict[int, type[StoreError]] = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EROFS: Denied,
    errno.ENAMETOOLONG: Unsupported,
    errno.EXDEV: Unsupported,
}
# At connecting: what the user gave is not right.
_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, ImportError, NotImplementedError)
_SECRET = re.compile(
    r"pass|pwd|secret|token|key|auth|cred|session|sas|signature|connection_string", re.I
)
_SHORTEST_SECRET = 4
_LONGEST_REASON = 300


class Late(Exception):
    """A call is not waited for any longer.

    Args:
        seconds: for how long it was.
        sent: False if surely nothing of it was or will be done.
    """

    def __init__(self, seconds: float, *, sent: bool) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.sent = sent


class NotConnected(Exception):
    """There is no filesystem; its argument is why."""


class Secrets(NamedTuple):
    """What must not be shown, whatever a library says.

    Attributes:
        texts: the secrets, the longest first.
    """

    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, url: str, scheme: str, options: Mapping[str, Any]) -> Secrets:
        """Those in a URL, in options, and in fsspec's configuration of a scheme."""
        login, at, _ = url.partition("://")[2].rpartition("@")
        found = [login.partition(":")[2]] if at else []
        asked = dict(parse_qsl(url.partition("?")[2]))
        for given in (asked, options, fsspec.config.conf.get(scheme, {})):
            found += _secrets_in(given, is_secret=False)
        found += [unquote(text) for text in found]
        return cls(tuple(sorted({text for text in found if text}, key=len, reverse=True)))

    def are_in(self, text: str) -> bool:
        return any(secret in text for secret in self.texts)

    def hidden(self, text: str) -> str:
        """`text` without them; nothing where one is so short that it can't be told from words."""
        if any(len(secret) < _SHORTEST_SECRET and secret in text for secret in self.texts):
            return ""
        for secret in self.texts:
            text = text.replace(secret, "***")
        return redacted(text)


def _secrets_in(given: object, *, is_secret: bool) -> Iterable[str]:
    """The texts in options that have the name of a secret, or are below one."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _secrets_in(value, is_secret=is_secret or bool(_SECRET.search(str(name))))
    elif isinstance(given, list | tuple | set):
        for value in given:
            yield from _secrets_in(value, is_secret=is_secret)
    elif is_secret and isinstance(given, str | bytes | int | float) and given not in (True, False):
        yield given.decode(errors="replace") if isinstance(given, bytes) else str(given)


def is_answer(error: BaseException) -> bool:
    """Whether it is known what an error means: then whoever said so may be asked again."""
    return isinstance(error, Exception) and _meaning(error) is not None


def _meaning(error: Exception) -> type[StoreError] | None:
    for native, ours in _ERRORS:
        if isinstance(error, native):
            return ours
    return _ERRNOS.get(error.errno or 0) if isinstance(error, OSError) else None


def translated(error: Exception, what: str, *, changes: bool, secrets: Secrets) -> StoreError:
    """Our error for a stranger's.

    Args:
        error: the stranger's.
        what: was to be done: ``read sftp://host/file``.
        changes: whether it changes anything.
        secrets: are not shown.
    """
    if isinstance(error, NotConnected):
        return _not_connected(error, what, secrets)
    kind = _meaning(error)
    sent = not isinstance(error, Late) or error.sent
    if kind is None:
        kind = AmbiguousResult if changes and sent else Unavailable
    outcome = ": it may have been done or not" if kind is AmbiguousResult else ""
    return kind(f"can't {what} ({_reason(error, secrets)}){outcome}.")


def _not_connected(error: NotConnected, what: str, secrets: Secrets) -> StoreError:
    """Nothing was sent; whether it is worth to try again is another question."""
    (cause,) = error.args
    kind: type[StoreError]
    if "auth" in type(cause).__name__.lower() or isinstance(cause, PermissionError):
        kind, do = LogonRefused, ": check user and password"
    elif isinstance(cause, _MISTAKES):
        kind, do = Unsupported, ": check URL and options"
    else:
        kind, do = Unavailable, ""
    return kind(f"can't {what}, since fsspec can't connect ({_reason(cause, secrets)}){do}.")


def _reason(error: object, secrets: Secrets) -> str:
    """What an exception says of itself, on one line."""
    if isinstance(error, Late) or not isinstance(error, BaseException):
        return str(error)
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    said = secrets.hidden(" ".join(said.split()))[:_LONGEST_REASON]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
