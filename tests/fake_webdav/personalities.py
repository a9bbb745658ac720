"""What servers do differently, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Personality:
    """How one kind of server behaves; the defaults are a correct server.

    `gap` is how long, in seconds, every window between two steps of a MOVE stays open on
    average; it varies, so that racing clients do not go on in step.
    """

    name: str
    moves: Literal["atomic", "copies", "both proceed"] = "atomic"
    """copies: a MOVE across folders is a copy and a delete.  both proceed: whoever found
    the source gets a whole copy, inside a folder too."""
    copies_in_folder: bool = False
    """copies: inside one folder too, which no server measured does."""
    gap: float = 0.0
    lost: int = 404
    """MOVE of a missing source."""
    lost_after_copy: int = 201
    """MOVE whose source went away before its copy was complete (only where it copies)."""
    busy: int | None = None
    """MOVE of a source that another MOVE is working on; None: it simply waits its turn."""
    created: int = 201
    """MOVE to a name that was free."""
    keeps_mtime: bool = True
    """Of MOVEs that copy; a rename always keeps it."""
    missing_folder: int = 409
    """MOVE, COPY or PUT into a folder that isn't there."""
    move_creates_folders: bool = False
    mkcol_needs_slash: bool = False
    hides_dot_names: bool = False
    listing_lag: float = 0.0
    """Seconds by which listings (PROPFIND of Depth 1 or infinity) are behind the truth."""
    partial_uploads: bool = False
    """Uploads are visible and movable while they grow, and stay when they are cut off."""
    etags: bool = True
    absolute_hrefs: bool = False
    upper_hex: bool = True
    sends_length: bool = True
    """getcontentlength in listings."""
    http_behind_tls: bool = False
    """TLS ends at a proxy: only ``http://`` is accepted in Destination."""
    encodes_again: bool = False
    """A proxy encodes the Destination once more where the request's own path is encoded (an
    nginx that takes the header apart by a regular expression)."""


atomic = Personality("atomic")
copying_lenient = Personality("copying_lenient", moves="copies", gap=0.001, keeps_mtime=False)
copying_strict = Personality(
    "copying_strict", moves="copies", gap=0.001, keeps_mtime=False, lost_after_copy=500
)
copying_liar = Personality("copying_liar", moves="copies", gap=0.001, keeps_mtime=False, lost=201)
both_proceed = Personality("both_proceed", moves="both proceed", gap=0.001)
stale = Personality("stale", listing_lag=2.0)
go = Personality("go", gap=0.001, lost=403, busy=423)
nginx = Personality(
    "nginx",
    created=204,
    move_creates_folders=True,
    mkcol_needs_slash=True,
    hides_dot_names=True,
)
partial = Personality("partial", partial_uploads=True)

PERSONALITIES = {
    each.name: each
    for each in (
        atomic,
        copying_lenient,
        copying_strict,
        copying_liar,
        both_proceed,
        stale,
        go,
        nginx,
        partial,
    )
}
