"""From the hrefs of a PROPFIND answer to names in a folder, or not.

An href is hostile until its path is exactly the folder and one more segment, on the
server that was asked, decoded once.  A name is all that is ever taken from it: requests
are built from names, never from hrefs.
"""

from __future__ import annotations

import logging
import re
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from dirjobs.errors import NotFound, StoreError
from dirjobs.store import Entry, FileKind

log = logging.getLogger(__name__)

_PORTS = {"http": 80, "https": 443}
# The same characters as layout.unsafe_name refuses; a regex because it runs per entry.
_HOSTILE = re.compile(
    "[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NO_ZONE = re.compile(r":\d\d\s*$")
_MOST_TOLD = 1000
_told: dict[str, str] = {}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/]*))?(.*)", re.DOTALL)


class Listing:
    """Collects the entries of one folder from a `Multistatus`.

    Args:
        scheme, host, port: of the URL that was asked, after redirects.
        folder: its encoded path, ending with a slash.
    """

    def __init__(self, scheme: str, host: str, port: int | None, folder: str) -> None:
        self._scheme, self._host, self._port = scheme, host.lower(), port
        self._folder = folder
        self._parents = [_decoded(part) for part in folder.split("/")[1:-1]]
        self._found: dict[str, Entry] = {}
        self.own: Entry | None = None
        """The folder itself."""
        self.refused: list[str] = []
        """Some hrefs that are nowhere in this folder."""
        self.refusals = 0

    def believed(self, where: str) -> list[Entry]:
        """The entries, if the whole listing can be one of the folder `where`.

        Raises:
            NotFound: `where` is a file.
            StoreError: not one entry is in this folder.
        """
        if self.own is not None and self.own.kind is not FileKind.FOLDER:
            raise NotFound(f"{where} is a file, not a folder.")
        if self.refusals:
            shown = ", ".join(ascii(href) for href in self.refused)
            if self.own is None and not self._found:
                raise StoreError(
                    f"the listing of {where} speaks of other places only, such as {shown}:"
                    " is the URL the one by which the server knows itself?"
                )
            level = logging.DEBUG if _was_told(where, shown) else logging.WARNING
            log.log(level, "%s: ignored %d names outside it: %s", where, self.refusals, shown)
        return list(self._found.values())

    def add(
        self, href: str, modified: str | None, length: str | None, collection: bool | None
    ) -> None:
        name = self._name(href)
        if name is None:
            self.refusals += 1
            if len(self.refused) < 3:
                self.refused.append(href[:200])
            return
        entry = entry_of(name, href, modified, length, collection)
        if name:
            # Two hrefs that are one name after decoding are one file to us.
            self._found.setdefault(name, entry)
        else:
            self.own = entry

    def _name(self, href: str) -> str | None:
        """The decoded segment after the folder; '' for the folder, None for no such."""
        folder = self._folder
        if href.startswith(folder):
            rest = href[len(folder) :]
        else:
            path = self._path(href)
            if path is None or not path.startswith("/") or path.startswith("//"):
                return None
            parts = path.split("/")[1:]
            if parts and parts[-1] == "":
                parts.pop()
            depth = len(self._parents)
            if len(parts) not in (depth, depth + 1):
                return None
            if [_decoded(part) for part in parts[:depth]] != self._parents:
                return None
            rest = parts[depth] if len(parts) > depth else ""
        if rest.endswith("/"):
            rest = rest[:-1]
            if not rest:
                return None
        name = _decoded(rest) if "%" in rest else rest
        if name is None or name in (".", "..") or _HOSTILE.search(name):
            return None
        return name

    def _path(self, href: str) -> str | None:
        """The path of an href that is on our server, else None.

        No query and no fragment is looked for: there are servers that write a ``#`` of
        a name as it is.
        """
        if href.startswith("/"):
            return href
        absolute = _URL.fullmatch(href)
        if absolute is None:
            return self._folder + href
        scheme, authority, path = absolute.groups()
        if authority is None:
            return None
        host, port = authority.lower(), None
        if found := re.fullmatch(r"(.*):(\d{1,5})", authority.lower()):
            host, port = found.group(1), int(found.group(2))
        scheme = scheme.lower()
        ours = _port(self._scheme, self._port)
        if host != self._host:
            return None
        if scheme == self._scheme:
            return str(path) if _port(scheme, port) == ours else None
        # TLS that ends at a proxy: the server behind writes http:// and its own port or
        # none.  We take a name from it, nothing more.
        if self._scheme == "https" and scheme == "http" and port in (None, 80, ours):
            return str(path)
        return None


def entry_of(
    name: str, href: str, modified: str | None, length: str | None, collection: bool | None
) -> Entry:
    """What is told of a resource; without a type the slash of a folder tells."""
    if href.endswith("/") if collection is None else collection:
        return Entry(name, parse_date(modified), None, FileKind.FOLDER)
    return Entry(name, parse_date(modified), parse_size(length), FileKind.FILE)


def _port(scheme: str, port: int | None) -> int | None:
    return _PORTS.get(scheme) if port is None else port


def _was_told(where: str, shown: str) -> bool:
    """Whether this was asked before: a folder is listed again and again."""
    before = _told.get(where) == shown
    while len(_told) >= _MOST_TOLD:
        del _told[next(iter(_told))]
    _told[where] = shown
    return before


def _decoded(segment: str) -> str | None:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeError:
        return None


@lru_cache(maxsize=4096)
def parse_date(text: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date; None for anything else."""
    # Ending with the time, without a zone, it is somebody's local time: no use to us.
    if not text or _NO_ZONE.search(text):
        return None
    try:
        parsed = parsedate_tz(text)
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def parse_size(text: str | None) -> int | None:
    text = text.strip() if text else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None
