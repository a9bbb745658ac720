"""Whether names arrive as they were sent: tried once, with files of our own.

A MOVE names its target in a header, Destination.  An nginx that takes this header apart by a
regular expression encodes it once more where the request's own path is encoded (its ticket
348): ``a b.txt`` becomes ``a%20b.txt``, and the answer is 201.  So before the first MOVE to a
name that has to be encoded, a file with an odd name is moved, and looked for.
"""

from __future__ import annotations

import re
from threading import Lock

KINDS = {
    "spaces": (" ", re.compile(" ")),
    "letters beyond ASCII": ("\u00e4", re.compile(r"[^\x00-\x7f]")),
    "'%'": ("%20", re.compile("%")),
    "'+'": ("+", re.compile(r"\+")),
    "'&'": ("&", re.compile("&")),
    "'#'": ("#", re.compile("#")),
    "other signs": ("[", re.compile(r"[!\"$'()*,:;<=>?@\[\\\]^`{|}]")),
}
"""What has to be encoded in a URL: a text to try it with, and how it is found in a name."""

EVERYTHING = "".join(text for text, _ in KINDS.values())


class Arrival:
    """What is known of one server, by all connections of a store.

    Attributes:
        lock: held by whoever tries.
        tried: whether it was tried, or could not be.
        origin: what to write before the path in Destination; None until a MOVE with it succeeded.
        changed: which of `KINDS` do not arrive.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.tried = False
        self.origin: str | None = None
        self.changed: tuple[str, ...] = ()

    def problem(self, name: str) -> str | None:
        """Why nothing may be renamed to `name`; None if it arrives."""
        for kind in self.changed:
            if KINDS[kind][1].search(name):
                return (
                    f"the server, or a proxy before it, changes or refuses {kind} in the name of"
                    f" a file that is renamed, such as {name!r}: use letters, digits, '.', '_'"
                    " and '-', or have the proxy pass on Destination as it is"
                )
        return None
