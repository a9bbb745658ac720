"""The connections of a store: one for each thread, none shared with another process."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.config import Address
from dirjobs.backends.smb.connection import Answer, Broken, Link
from dirjobs.backends.smb.status import OBJECT_NAME_NOT_FOUND, SESSION_GONE, error_for
from dirjobs.errors import AmbiguousResult, StoreError, Unavailable


class _Process:
    """The links of one process."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self._known: list[weakref.ref[Link]] = []

    @property
    def links(self) -> list[Link]:
        """Of all threads that have not ended."""
        return [link for link in (known() for known in list(self._known)) if link is not None]

    def add(self, link: Link) -> None:
        """Make `link` the one of this thread."""
        self._known = [known for known in self._known if known() is not None]
        self._known.append(weakref.ref(link))
        self.mine.link = link


class Links:
    """Sends requests over the calling thread's own link, made when first needed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        # By process id: a forked child finds none of its own and never touches its
        # parent's.  No lock, which might have been held at the moment of the fork.
        self._processes: dict[int, _Process] = {}

    def mine(self) -> Link:
        """This thread's link; a new one if there is none or it is known to be broken.

        Raises:
            Unavailable, Denied: there is no getting in; surely nothing was executed.
        """
        process = self._process()
        link: Link | None = getattr(process.mine, "link", None)
        if link is None or not link.alive:
            if link is not None:
                link.close()
            link = Link(self._address)
            process.add(link)
        return link

    def _process(self) -> _Process:
        pid = os.getpid()
        if pid not in self._processes:
            for other in [other for other in self._processes if other != pid]:
                for link in self._processes.pop(other).links:
                    link.close()
        return self._processes.setdefault(pid, _Process())

    def ask(self, what: str, *messages: wire.Message, changes: bool) -> list[Answer]:
        """Send one request and return its answers; it is never sent twice.

        Args:
            what: what it does, in words, for errors: ``rename 'a' to 'b'``.
            messages: what to send as one compound.
            changes: False if it only looks, so that a lost answer leaves no doubt.

        Raises:
            Unavailable: surely nothing was changed.
            AmbiguousResult: the answer was lost.
        """
        link = self.mine()
        try:
            answers = link.exchange(*messages)
        except Broken as broken:
            if broken.sent:
                raise _lost(broken, what, changes=changes) from broken.__cause__
            # It was broken before and nobody had noticed: nothing left this machine.
            answers = self._exchange(self.mine(), what, messages, changes=changes)
        if any(answer.status in SESSION_GONE for answer in answers):
            self.mine().close()
        return answers

    def look(self, what: str, *messages: wire.Message) -> list[Answer]:
        """Like `ask`, for opening a file to look at it: "no such file" is asked twice.

        Samba says so in the instant in which somebody replaces the file (in 1 of some
        3,000 looks while it is rewritten all the time).
        """
        answers = self.ask(what, *messages, changes=False)
        if answers[0].status == OBJECT_NAME_NOT_FOUND:
            answers = self.ask(what, *messages, changes=False)
        return answers

    def can_afford(self, what: str, credits_wanted: int) -> bool:
        """Whether the server answers so much at once; see `Link.can_afford`."""
        try:
            return self.mine().can_afford(credits_wanted)
        except Broken as broken:
            raise _lost(broken, what, changes=False) from broken.__cause__

    def _exchange(
        self, link: Link, what: str, messages: tuple[wire.Message, ...], *, changes: bool
    ) -> list[Answer]:
        try:
            return link.exchange(*messages)
        except Broken as broken:
            raise _lost(broken, what, changes=changes) from broken.__cause__

    @contextlib.contextmanager
    def opened(self, create: wire.Message, what: str, *, changes: bool) -> Iterator[Handle]:
        """Open a file for several requests; it is closed at the end, whatever happens.

        Raises:
            StoreError: as the server's answer to `create` says.
        """
        created, *_ = self.ask(what, create, changes=changes)
        if created.status:
            raise error_for(created.status, what, first=True)
        handle = Handle(self, self.mine(), wire.created(created.body), what, changes)
        try:
            yield handle
        finally:
            handle.close()

    def close(self) -> None:
        """Hang up in all threads of this process; they connect again when they ask."""
        process = self._processes.pop(os.getpid(), None)
        for link in process.links if process else ():
            link.close()


class Handle:
    """A file opened over one link; it dies with the link."""

    def __init__(
        self, links: Links, link: Link, created: wire.Created, what: str, changes: bool
    ) -> None:
        self._links = links
        self._link = link
        self._what = what
        self._changes = changes
        self._open = True
        self.id = created.handle
        self.size = created.size

    def ask(self, *messages: wire.Message) -> list[Answer]:
        """Send `messages`, which name this handle; see `Links.ask`."""
        try:
            return self._links._exchange(self._link, self._what, messages, changes=self._changes)
        except Unavailable as error:
            if not self._changes:
                raise
            # These messages never left, but the one that opened the file did.
            raise AmbiguousResult(f"Left half done: {self._what} ({error}).") from error

    def finish(self, *last: wire.Message) -> list[Answer]:
        """Send `last` and a CLOSE in one compound."""
        self._open = False
        return self.ask(*last, wire.close())

    def close(self) -> None:
        """Let go of the file if nobody has; without its link the server already has."""
        if self._open and self._link.alive:
            self._open = False
            self.ask(wire.close(self.id))


def _lost(broken: Broken, what: str, *, changes: bool) -> StoreError:
    if broken.sent and changes:
        return AmbiguousResult(f"Nobody knows whether this was done: {what} ({broken.reason}).")
    return Unavailable(f"Can't {what}: {broken.reason}.")
