"""From what the user wrote to a store, by the entry points of group ``dirjobs.backends``.

An entry point's name is a URL scheme, its object a function ``(url, options) -> Store``.
Our own backends are registered in the same way; ``file`` also gets plain paths, ``smb``
UNC paths, and ``fsspec`` every scheme that only fsspec knows.
"""

from __future__ import annotations

import configparser
import difflib
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from dirjobs.errors import ConfigurationError
from dirjobs.redaction import redacted
from dirjobs.store import Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "open_store", "redacted"]

GROUP = "dirjobs.backends"

# At least two letters, so that C:/jobs stays a path; fsspec chains URLs with "::".
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)(?:://|::.*://)", re.IGNORECASE | re.DOTALL)
_ONE_SLASH = re.compile(r"([a-z][a-z0-9+.-]+):/?(?!/)", re.IGNORECASE)
_PACKAGES = {
    "obstore": "'dirjobs[objects]'",
    "smbclient": "smbprotocol",
    "spnego": "pyspnego",
}
# What is wrong is not quoted, nor chained: it is the rest of a password, most likely.
_BAD_INI = (
    "fsspec can't read an .ini file of its configuration (in ~/.config/fsspec, or where"
    " FSSPEC_CONFIG_DIR says): write %% for each % in it, or use a .json file."
)
_WINDOWS = sys.platform == "win32"


class OpenStore(Protocol):
    """What an entry point is: makes a store of a URL and the user's storage options.

    If it has a parameter `timeout` as well, it is told for how many seconds one request
    may take, which the options may say otherwise: a network backend should have it.
    """

    def __call__(self, url: str, options: Mapping[str, Any]) -> Store: ...


def open_store(
    place: str | os.PathLike[str] | Store,
    storage_options: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
) -> Store:
    r"""The store at `place`.

    Args:
        place: a path, a URL, ``\\host\share\folder``, or a Store, which is returned.
        storage_options: settings and credentials for the backend.
        timeout: seconds that one request may take, unless the options say so; where the
            store is no network's, it means nothing.

    Raises:
        ConfigurationError: no backend, or more than one, is registered for it, a package
            is missing, or the backend refuses what it was given.
    """
    if isinstance(place, Store):
        if storage_options:
            raise ConfigurationError(
                f"{place!r} is a store already: give the storage_options to that store instead."
            )
        return place
    if storage_options is not None and not isinstance(storage_options, Mapping):
        raise ConfigurationError(
            f"storage_options must be a dict, not a {type(storage_options).__name__}."
        )
    url = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(url, str):
        raise ConfigurationError(f"{place!r} is no place: give a path, a URL or a Store.")
    scheme = scheme_of(url, windows=_WINDOWS)
    entry = _entry_point(scheme, url)
    opener = _load(entry, scheme)
    told = _told_besides(entry, scheme, opener, timeout)
    try:
        store = opener(url, storage_options or {}, **told)
    except ImportError as error:
        raise _missing(error, scheme) from error
    if not isinstance(store, Store):
        raise ConfigurationError(
            f"the backend for {scheme}:// ({_source(entry)}) returned a {type(store).__name__}"
            f" instead of a dirjobs Store: {_what_to_do(entry)}."
        )
    return store


def _told_besides(
    entry: EntryPoint, scheme: str, opener: Callable[..., object], timeout: float | None
) -> dict[str, float]:
    """What `opener` is given besides URL and options; refuses one that can't be called as
    `OpenStore` says, a class above all."""
    try:
        signature = inspect.signature(opener)
    except (TypeError, ValueError):  # written in C, or disguised
        return {}
    told = {}
    if timeout is not None and "timeout" in signature.parameters:
        told["timeout"] = timeout
    try:
        signature.bind("", {}, **told)
    except TypeError as error:
        raise _broken(entry, scheme, error) from error
    return told


def scheme_of(url: str, *, windows: bool) -> str:
    """The scheme that `url` is opened by: ``file`` for a path, ``smb`` for a UNC path.

    ``//host/share`` is a UNC path on Windows only; elsewhere it is a local path.
    """
    if match := _SCHEME.match(url):
        return match.group(1).lower()
    unc = url.startswith("\\\\") or (windows and url.startswith("//"))
    if unc and url[2:4] not in ("?\\", ".\\", "?/", "./"):
        return "smb"
    if match := _ONE_SLASH.match(url):
        scheme = match.group(1).lower()
        known = {entry.name for entry in _entry_points()} - {"fsspec"}
        if scheme in known and not os.path.lexists(url):
            raise ConfigurationError(
                f"{redacted(url)!r} is neither a URL nor an existing path: write {scheme}://..."
            )
    return "file"


def _entry_points() -> tuple[EntryPoint, ...]:
    return _installed(tuple(sys.path))


@functools.cache
def _installed(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 - it is sys.path
    """What the packages on a path have registered, read once in a process."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


def _entry_point(scheme: str, url: str) -> EntryPoint:
    entries = _entry_points()
    matching = _matching(scheme, entries)
    if not matching:  # its package may have been installed since this process looked
        _installed.cache_clear()
        entries = _entry_points()
        matching = _matching(scheme, entries)
    if not entries:
        raise ConfigurationError(
            "this dirjobs is not installed, so nothing is known of its backends: pip install -e ."
            " in its folder."
        )
    if not matching:
        raise _unknown(scheme, url, {entry.name for entry in entries} - {"fsspec"})
    if len(matching) > 1:
        packages = sorted({_package(entry) for entry in matching})
        others = [package for package in packages if package != "dirjobs"]
        raise ConfigurationError(
            f"{scheme}:// is claimed by the packages {' and '.join(packages)}: keep one of them,"
            f" for example pip uninstall {others[-1] if others else packages[-1]}."
        )
    return matching[0]


def _matching(scheme: str, entries: Sequence[EntryPoint]) -> list[EntryPoint]:
    """Those for a scheme; fsspec's if only it knows the scheme."""
    matching = [entry for entry in entries if entry.name.lower() == scheme and scheme != "fsspec"]
    if not matching and scheme in _fsspec_schemes(entries):
        return [entry for entry in entries if entry.name == "fsspec"]
    return matching


def _fsspec_schemes(entries: Sequence[EntryPoint]) -> list[str]:
    if not any(entry.name == "fsspec" for entry in entries):
        return []
    try:
        import fsspec
    except ImportError as error:
        raise _missing(error, "any other scheme") from error
    except configparser.Error:
        raise ConfigurationError(_BAD_INI) from None
    return cast("list[str]", fsspec.available_protocols())


def _unknown(scheme: str, url: str, known: set[str]) -> ConfigurationError:
    near = difflib.get_close_matches(scheme, known, n=1)
    hint = f"did you mean {near[0]}://? " if near else ""
    return ConfigurationError(
        f"no backend knows {scheme}:// of {redacted(url)!r}: {hint}known are a path"
        f" and {', '.join(f'{name}://' for name in sorted(known))}."
    )


def _load(entry: EntryPoint, scheme: str) -> Callable[..., object]:
    try:
        opener = entry.load()
    except ImportError as error:
        module = entry.value.partition(":")[0]
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise _missing(error, scheme) from error
        raise _broken(entry, scheme, error) from error
    except configparser.Error:
        raise ConfigurationError(_BAD_INI) from None
    except Exception as error:
        raise _broken(entry, scheme, error) from error
    if not callable(opener):
        raise _broken(entry, scheme, TypeError(f"{entry.value} can't be called"))
    return cast("Callable[..., object]", opener)


def _missing(error: ImportError, scheme: str) -> ConfigurationError:
    if not error.name:
        return ConfigurationError(f"{scheme}:// needs a package that is missing: {error}")
    module = error.name.partition(".")[0]
    package = _PACKAGES.get(module, module)
    return ConfigurationError(
        f"{scheme}:// needs the package {package}, which is not installed here or is broken"
        f" ({error}): pip install {package}."
    )


def _broken(entry: EntryPoint, scheme: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the backend for {scheme}:// ({_source(entry)}) can't be loaded"
        f" ({type(error).__name__}: {error}): {_what_to_do(entry)}."
    )


def _what_to_do(entry: EntryPoint) -> str:
    return f"update or uninstall {_package(entry)}, or correct its entry point if it is yours"


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _source(entry: EntryPoint) -> str:
    return f"{entry.value} of package {_package(entry)}"
