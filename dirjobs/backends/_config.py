"""A backend's options as one table, and how all who may set them are read.

    OPTIONS = Options("SMB shares", ("smb",), username=text(), password=secret(), port=port(445))
    found = OPTIONS.read(options, {"username": user_in_the_url})

What the user passes wins over what the URL or the queue says, and these over fsspec's
configuration (its files and its ``FSSPEC_*`` environment, which know texts only).
Nobody's password is ever used with another one's name.  No message shows a secret.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

import fsspec.config

from dirjobs import logins
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import without_login
from dirjobs.store import Guarantees

_LOGIN = ("username", "password", "domain", "token")
"""Options that belong together: they are somebody's."""
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Check = Callable[[str, Any], Any]
"""Makes of an option's name and the value given for it the value that is used, or raises
ConfigurationError."""


class Option(NamedTuple):
    """How one option is checked, and what it is if nobody sets it.

    Attributes:
        stands_for: the options whose values it gives instead of one of its own.
    """

    check: Check
    default: Any = None
    stands_for: tuple[str, ...] = ()


class Options:
    """The options of one backend.

    Args:
        place: what has these options, for messages.
        configured_as: the names by which fsspec's configuration may call the backend.
        table: all options by their names.
    """

    def __init__(self, place: str, configured_as: tuple[str, ...], **table: Option) -> None:
        self._place = place
        self._configured_as = configured_as
        self.table = table

    def read(
        self, options: Mapping[str, Any], otherwise: Mapping[str, Any], server: str = ""
    ) -> dict[str, Any]:
        """The value of every option: what `options` say, or `otherwise` (the URL), or the
        configuration, or the login that is kept for `server`; None counts as not said.

        Raises:
            ConfigurationError: an option is unknown or has an impossible value.
        """
        for name in options:
            if name not in self.table:
                raise ConfigurationError(
                    f"{name!r} is not an option of {self._place}: there are"
                    f" {', '.join(self.table)}."
                )
        configured: dict[str, Any] = {}
        for name in self._configured_as:
            configured |= fsspec.config.conf.get(name, {})
            configured |= self._texts_in_environment(name, configured)
        # Of fsspec's other options (block_size, retry, ...) none applies.
        configured = {name: configured[name] for name in configured.keys() & self.table.keys()}
        given: dict[str, Any] = {}
        for source in (options, otherwise, configured):
            said = self._spelled_out(source)
            if _names(given) and _names(said) and _names(given) != _names(said):
                said = {name: value for name, value in said.items() if name not in _LOGIN}
            given = said | given
        if server and not any(given.get(name) for name in ("password", "token", "guest")):
            given |= logins.remembered(server, given.get("username"))
        return {
            name: option.check(name, given[name]) if name in given else option.default
            for name, option in self.table.items()
            if not option.stands_for
        }

    def _texts_in_environment(self, backend: str, configured: Mapping[str, Any]) -> dict[str, str]:
        """What stands in ``FSSPEC_*`` variables, where fsspec has made something else of it: a
        password or a user name of digits is a number to it, and one in quotes loses them."""
        found = {}
        for name, value in configured.items():
            text = os.environ.get(f"FSSPEC_{backend.upper()}_{name.upper()}")
            if text is not None and (not isinstance(value, str) or _read_as_json(text) == value):
                found[name] = text
        return found

    def _spelled_out(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """What `source` says, with every option under the name that it has here."""
        said = {name: value for name, value in source.items() if value is not None}
        for name in list(said):
            if name in self.table and (names := self.table[name].stands_for):
                value = said.pop(name)
                values = [value] if len(names) == 1 else value
                if not isinstance(values, (tuple, list)) or len(values) != len(names):
                    raise ConfigurationError(
                        f"the option {name!r} must be a pair: ({', '.join(names)})."
                    )
                said |= zip(names, values, strict=True)
        return said


def _read_as_json(text: str) -> object:
    """What fsspec makes of a variable."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _names(given: Mapping[str, Any]) -> list[object]:
    """Whose login this is; empty if it doesn't say."""
    return [given[name] for name in ("username", "token") if given.get(name)]


def refuse_pickling(holder: object) -> NoReturn:
    """The ``__reduce__`` of whatever holds credentials."""
    raise TypeError(
        f"{type(holder).__name__} can't be pickled, for there may be a password in it:"
        " open the store again in the other process."
    )


def is_no_text(address: str) -> bool:
    """Whether there are bytes in it that are no UTF-8 (half surrogates, to Python)."""
    try:
        address.encode()
    except UnicodeEncodeError:
        return True
    return False


def has_control(text: str) -> bool:
    """Whether there are control characters, or half surrogates, in it."""
    return _CONTROL.search(text) is not None


class Address(NamedTuple):
    """A URL taken apart and decoded.

    Attributes:
        url: as it was split, for what is left.
        segments: of the path; empty ones left out.
        login: before the password; empty if there is none.
    """

    url: SplitResult
    host: str
    port: int | None
    segments: list[str]
    login: str
    password: str | None


def split_address(
    address: str,
    kind: str,
    example: str,
    host_of: Callable[[SplitResult], str] = lambda url: url.hostname or "",
) -> Address:
    """Take `address` apart.

    Args:
        kind: of address, for messages: ``an SMB``.
        example: one that is right.
        host_of: finds the host, still encoded.

    Raises:
        ConfigurationError: it is no URL.
    """
    shown = without_login(address)
    try:
        url = urlsplit(address)
        return Address(
            url,
            unquote(host_of(url), errors="strict"),
            url.port,
            [unquote(part, errors="strict") for part in url.path.split("/") if part],
            unquote(url.username or "", errors="strict"),
            None if url.password is None else unquote(url.password, errors="strict"),
        )
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{shown!r} has a part that is not UTF-8: correct it, or pass user and password as"
            " options."
        ) from None
    except ValueError:
        raise ConfigurationError(
            f"{shown!r} is not {kind} address: write {example}, an IPv6 host in brackets, and"
            " '/', '@', ':', '#' or '?' in a password as %2F, %40, %3A, %23, %3F."
        ) from None


# -- kinds of options --------------------------------------------------------------------


def text() -> Option:
    """One line; an empty one counts as none."""
    return Option(lambda name, value: _line(name, value) or None)


def secret() -> Option:
    """One line, which may be empty, for nobody's eyes."""
    return Option(_line)


def flag(default: bool | None) -> Option:
    """True or false."""
    return Option(_flag, default)


def port(default: int) -> Option:
    """A TCP port."""
    return Option(_port, default)


def seconds(default: float) -> Option:
    """A time above 0."""
    return Option(_seconds, default)


def matching(pattern: str, why: str) -> Option:
    """Text of the form `pattern`; `why` says what that is."""

    def check(name: str, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value, re.IGNORECASE):
            return value
        raise ConfigurationError(f"the option {name!r} must be {why}")

    return Option(check)


def anything() -> Option:
    """What only its user can check."""
    return Option(lambda _, value: value)


def guarantees() -> Option:
    """What a check has found out about the place, or a user knows of it."""
    return Option(_guarantees)


def stands_for(*names: str) -> Option:
    """Another name for one option, or the values of several in one."""
    return anything()._replace(stands_for=names)


def one_of(*words: str, default: str | None = None) -> Option:
    """One of `words`."""

    def check(name: str, value: object) -> str:
        word = str(value).lower()
        if word not in words:
            raise ConfigurationError(f"{name}={value!r} is not known: use {', '.join(words)}.")
        return word

    return Option(check, default)


def _line(name: str, value: object) -> str:
    if not isinstance(value, str) or has_control(value):
        # The value is not shown: it may be the password.
        raise ConfigurationError(f"The option {name!r} must be text without control characters.")
    return value


def _guarantees(name: str, value: object) -> Guarantees:
    if isinstance(value, Guarantees):
        return value
    raise ConfigurationError(f"the option {name!r} must be a dirjobs.store.Guarantees.")


def _flag(name: str, value: object) -> bool:
    word = str(value).lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ConfigurationError(f"{name}={value!r} is neither true nor false.")


def _port(name: str, value: object) -> int:
    word = str(value)
    if not isinstance(value, bool) and word.isdecimal() and 1 <= int(word) <= 65535:
        return int(word)
    raise ConfigurationError(f"{name}={value!r} is not a port: use a number from 1 to 65535.")


def _seconds(name: str, value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number < threading.TIMEOUT_MAX:
        raise ConfigurationError(f"{name}={value!r} must be a number of seconds above 0.")
    return number
