"""Whether names arrive as they were sent: tried once, with files of our own.

A MOVE names its target in a header, Destination.  An nginx that takes this header apart by a
regular expression encodes it once more where the request's own path is encoded (its ticket
348): ``a b.txt`` becomes ``a%20b.txt``, and the answer is 201.  So before the first MOVE to a
name that has to be encoded, a file with an odd name is moved, and looked for.
"""

from __future__ import annotations

from dirjobs.names import change_problem


class Arrival:
    """What is known of one server, by all connections of a store.

    Attributes:
        tried: whether it was tried.
        origin: what to write before the path in Destination; None until a MOVE with it succeeded.
        changed: which of `dirjobs.names.CHANGEABLE` do not arrive.
    """

    def __init__(self) -> None:
        self.tried = False
        self.origin: str | None = None
        self.changed: tuple[str, ...] = ()

    def problem(self, name: str) -> str | None:
        """Why nothing may be renamed to `name`; None if it arrives."""
        return change_problem(name, self.changed)
