"""Answers that no client should believe, or choke on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from . import xml
from .messages import Answer, Request
from .tree import Blob

if TYPE_CHECKING:
    from .faults import Fault

_ENTRY = (
    "<D:response><D:href>{}</D:href><D:propstat><D:prop><D:resourcetype>{}</D:resourcetype>"
    "<D:getcontentlength>1</D:getcontentlength>"
    "<D:getlastmodified>Thu, 01 Jan 2026 00:00:00 GMT</D:getlastmodified></D:prop>"
    "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n"
)
_LOGIN = (
    b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>"
    b'<form method="post"><input name="user"><input name="password" type="password">'
    b"</form></body></html>\n"
)
_BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE D:multistatus [<!ENTITY a0 "boom">\n'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">\n' for n in range(1, 10))
    + ']>\n<D:multistatus xmlns:D="DAV:"><D:response><D:href>&a9;</D:href></D:response>'
    "</D:multistatus>\n"
).encode()


def answer(fault: Fault, request: Request) -> Answer:
    """What `fault` says to `request`."""
    target = request.target
    if fault.kind == "redirect":
        location = fault.location.replace("{target}", target)
        return Answer.plain(fault.status or 302, headers={**fault.headers, "Location": location})
    if fault.kind == "login_page":
        return Answer(200, _LOGIN, fault.headers, "text/html; charset=utf-8")
    if fault.kind == "inner_status":
        inner = f"{fault.status or 404} Inner"
        return Answer(207, xml.removed(target, inner).encode(), fault.headers, xml.KIND)
    if fault.kind == "body":
        return Answer(fault.status or 200, fault.body or b"", fault.headers, fault.content_type)
    if fault.kind == "flood":
        blob = _flood(target, fault.entries)
        return Answer(207, b"", fault.headers, xml.KIND, (blob, 0, blob.size))
    return Answer(207, _bad_listing(fault, target), fault.headers, xml.KIND)


def _bad_listing(fault: Fault, target: str) -> bytes:
    itself = _ENTRY.format(escape(target), "<D:collection/>")
    if fault.kind == "entity_bomb":
        return _BOMB
    if fault.kind == "garbage_xml":
        return (xml.HEAD + itself + "<D:response></D:href>\x01&nothing;<").encode()
    if fault.kind == "truncated_xml":
        return (xml.HEAD + itself * 3)[:-40].encode()
    entries = [_ENTRY.format(escape(href), "") for href in fault.hrefs]
    return (xml.HEAD + itself + "".join(entries) + xml.TAIL).encode()


def _flood(target: str, entries: int) -> Blob:
    """A listing of so many files, on disk: memory is what the client is tested for."""
    blob = Blob((xml.HEAD + _ENTRY.format(escape(target), "<D:collection/>")).encode())
    folder = escape(target).rstrip("/") + "/"
    for start in range(0, entries, 1000):
        names = range(start, min(start + 1000, entries))
        blob.append("".join(_ENTRY.format(f"{folder}job{n}", "") for n in names).encode())
    blob.append(xml.TAIL.encode())
    return blob
