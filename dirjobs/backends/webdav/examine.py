"""What `dirjobs check` wants to know of a WebDAV server and no verb of a store tells."""

from __future__ import annotations

from dirjobs.backends.webdav.session import Session
from dirjobs.backends.webdav.status import OK, Verb

_CONTENT = b"conditional"
_CONDITIONS = {
    "PUT If-None-Match: * on a file": ("If-None-Match", True),
    "PUT If-Match: * on nothing": ("If-Match", False),
}


def examine(session: Session, path: str, destination: str | None) -> dict[str, str]:
    """Whether conditional requests are heeded, and how destinations must be written.

    Args:
        session: where to ask.
        path: a file of ours that may be written, encoded, from the server's root.
        destination: the origin that a MOVE was last successful with.

    Raises:
        StoreError: no answer came.
    """
    found: dict[str, str] = {}
    length = {"Content-Length": str(len(_CONTENT))}
    response = session.status(Verb.PUT, path, length, _CONTENT)
    if server := response.headers.get("server"):
        found["server"] = "".join(char for char in server[:80] if char.isprintable())
    for what, (header, exists) in _CONDITIONS.items():
        place = path if exists else f"{path}.2"
        status = session.status(Verb.PUT, place, {**length, header: "*"}, _CONTENT).status_code
        found[what] = "is ignored" if status in OK[Verb.PUT] else f"is refused ({status})"
    if destination and destination.startswith("http:") and session.origin.startswith("https:"):
        found["Destination"] = "with http://: TLS ends at a proxy"
    return found
