"""PROPFIND and PROPPATCH bodies, and the multistatus they are answered with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache
from time import gmtime, strftime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from .messages import Refused
from .personalities import Personality
from .tree import File, Folder, Node, Path

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
TAIL = "</D:multistatus>\n"
KIND = 'application/xml; charset="utf-8"'
FORBIDDEN_LIVE = {"{DAV:}getetag", "{DAV:}getcontentlength", "{DAV:}resourcetype"}

http_date = lru_cache(4096)(lambda second: formatdate(second, usegmt=True))


@lru_cache(4096)
def _created(second: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(second))


LIVE: dict[str, Callable[[Node], str | None]] = {
    "{DAV:}resourcetype": lambda node: "<D:collection/>" if isinstance(node, Folder) else "",
    "{DAV:}getlastmodified": lambda node: http_date(int(node.modified)),
    "{DAV:}getcontentlength": lambda node: str(node.blob.size) if isinstance(node, File) else None,
    "{DAV:}getetag": lambda node: escape(node.etag) if isinstance(node, File) else None,
    "{DAV:}getcontenttype": lambda node: escape(node.kind) if isinstance(node, File) else None,
    "{DAV:}creationdate": lambda node: _created(int(node.modified)),
}


def parse(body: bytes) -> ElementTree.Element:
    """The root element.

    Raises:
        Refused: 400, it is not XML or brings its own entities.
    """
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Refused(400, "no DTDs, please")
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Refused(400, f"not XML: {error}") from error


def wanted(body: bytes) -> list[str] | bool | None:
    """The property names a PROPFIND asks for; None: all of them; True: only the names."""
    if not body:
        return None
    root = parse(body)
    if root.tag != "{DAV:}propfind":
        raise Refused(400, f"expected propfind, got {root.tag}")
    if root.find("{DAV:}propname") is not None:
        return True
    prop = root.find("{DAV:}prop")
    if prop is not None:
        return [each.tag for each in prop]
    if root.find("{DAV:}allprop") is None:
        raise Refused(400, "propfind asks for nothing")
    return None


def href(path: Path, *, folder: bool, prefix: str, personality: Personality) -> str:
    """`path` as this server spells it; `prefix` has the origin if it says absolute URLs."""
    url = "/".join((prefix, *[quote(part, safe="", errors="surrogateescape") for part in path]))
    if not personality.upper_hex:
        url = re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), url)
    return url + "/" if folder else url


class Listing:
    """Writes one ``response`` after the other."""

    def __init__(self, names: list[str] | bool | None, personality: Personality) -> None:
        left_out = set()
        if not personality.etags:
            left_out.add("{DAV:}getetag")
        if not personality.sends_length:
            left_out.add("{DAV:}getcontentlength")
        self._live = {name: tell for name, tell in LIVE.items() if name not in left_out}
        self._names = names if isinstance(names, list) else None
        self._only_names = names is True
        self._tags = {name: _tags(name) for name in self._names or self._live}

    def response(self, url: str, node: Node) -> str:
        found: list[str] = []
        missing: list[str] = []
        dead = node.properties
        for name in self._names if self._names is not None else self._live:
            tell = self._live.get(name)
            text = tell(node) if tell else None
            opening, closing, alone = self._tags[name]
            if text is not None:
                found.append(
                    f"{opening}{text}{closing}" if text and not self._only_names else alone
                )
            elif name in dead:
                found.append(dead[name])
            elif self._names is not None:
                missing.append(alone)
        if self._names is None and dead:
            found += [_tags(name)[2] for name in dead] if self._only_names else dead.values()
        parts = [f"<D:response><D:href>{url}</D:href>"]
        if found or not missing:
            parts.append(propstat(found, "200 OK"))
        if missing:
            parts.append(propstat(missing, "404 Not Found"))
        parts.append("</D:response>\n")
        return "".join(parts)


def propstat(properties: Iterable[str], status: str) -> str:
    return (
        f"<D:propstat><D:prop>{''.join(properties)}</D:prop>"
        f"<D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )


@lru_cache(1024)
def _tags(name: str) -> tuple[str, str, str]:
    """Opening, closing and empty tag of a property."""
    space, _, local = name.rpartition("}")
    if space == "{DAV:":
        return f"<D:{local}>", f"</D:{local}>", f"<D:{local}/>"
    declared = f"X:{local} xmlns:X={_quoted(space[1:])}" if space else local
    end = f"X:{local}" if space else local
    return f"<{declared}>", f"</{end}>", f"<{declared}/>"


def _quoted(text: str) -> str:
    return '"' + escape(text, {'"': "&quot;"}) + '"'


def empty(name: str) -> str:
    return _tags(name)[2]


def updates(body: bytes) -> list[tuple[str, str | None]]:
    """What a PROPPATCH sets (name, element) and removes (name, None), in its order."""
    root = parse(body)
    if root.tag != "{DAV:}propertyupdate":
        raise Refused(400, f"expected propertyupdate, got {root.tag}")
    changes: list[tuple[str, str | None]] = []
    for step in root:
        for prop in step.iterfind("{DAV:}prop"):
            for each in prop:
                each.tail = None
                text = ElementTree.tostring(each, encoding="unicode")
                changes.append((each.tag, text if step.tag == "{DAV:}set" else None))
    return changes


def removed(url: str, status: str) -> str:
    """A multistatus that says that one resource met `status`."""
    return (
        f"{HEAD}<D:response><D:href>{escape(url)}</D:href>"
        f"<D:status>HTTP/1.1 {status}</D:status></D:response>\n{TAIL}"
    )
