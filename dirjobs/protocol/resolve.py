"""One rename, and what really came of it.

Nothing here deletes a file, and nothing renames onto an existing one.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum

from dirjobs import layout
from dirjobs.errors import AlreadyExists, AmbiguousResult, Busy, FileStays, NotFound
from dirjobs.policy import Mode
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.folders import make_folder
from dirjobs.protocol.growth import GrowthWatch
from dirjobs.protocol.intents import Doubt, Intents
from dirjobs.protocol.look import Look, differ
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.protocol.store_clock import StoreClock
from dirjobs.store import Entry, split

_TRIES = 6
_BUSY_TRIES = 4


class SourceStays(FileStays):
    """A server has copied a file, and does not remove its source."""


class Outcome(Enum):
    """How a rename ended."""

    RENAMED = "the store said so"
    TAKEN = "the destination exists"
    GONE = "the source is gone, and not by our doing"
    GONE_IN_DOUBT = "the source is gone, after a try whose answer is missing, or wrong"

    @property
    def arrived(self) -> bool:
        """Whether the file is where we wanted it, if nobody else wants it there."""
        return self in (Outcome.RENAMED, Outcome.GONE_IN_DOUBT)


class Resolver:
    """Renames, and looks until it is known what became of it.

    Args:
        share: where.
        me: whose mode counts.
        intents: the names that were asked for.
        look: finds out what is there.
        evidence: learns which paths we rename away.
        clock: tells whether the store's clock was set back.
    """

    def __init__(
        self,
        share: Share,
        me: Me,
        intents: Intents,
        look: Look,
        evidence: Evidence,
        clock: StoreClock,
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents
        self.look = look
        self.evidence = evidence
        self.clock = clock

    def rename(self, src: str, dst: str, job: Entry) -> Outcome:
        """Rename `src`, a file of `job`, to `dst` and find out what became of it.

        Raises:
            Busy: somebody has it open, and not only for a moment.
            FileStays: the store answers, but neither yes nor no, and it is still there.
            SourceStays: a server copied it, and does not remove the source.
            StoreError: it can't be found out now; the rename may be executed yet.
        """
        if self.me.on_probation:
            self.evidence.departing.add(src)
        doubts = self.intents.doubts
        doubt = doubts.get(src)  # of an earlier call that could not find out
        pause, busy = 0.1, 0
        is_own = layout.parse_staged(split(dst)[1]) is not None
        send = self.share.claim if is_own else self.share.rename
        for _ in range(_TRIES):
            if doubt is not None and (growth := doubt.met.get(dst)) is not None:
                outcome = self._look_at_copy(src, dst, doubt, growth)
                if outcome is not None:
                    return outcome
                self.share.sleep(pause)
                pause *= 2
                continue
            try:
                send(src, dst)
            except NotFound:
                if doubt is not None:
                    doubts.pop(src, None)
                    if self.me.guarantees.repeatable_rename:
                        return Outcome.GONE
                    return Outcome.GONE_IN_DOUBT
                refused = self._note_refusal(src, dst)
                if self._source_is_there(src, dst):
                    self.share.sleep(pause)
                    pause *= 2
                    continue
                arrived = any(
                    self.look.arrived_though_refused(one, job, self.clock) for one in refused
                )
                self.intents.refused.pop(src, None)
                if not arrived:
                    return Outcome.GONE
                self.me.count("rename: refused, but it has arrived")
                return Outcome.GONE_IN_DOUBT
            except AlreadyExists:
                if doubt is None:
                    if self._is_own_file(src, dst, job):
                        self.intents.refused.pop(src, None)
                        self.me.count("rename: refused, but it has arrived")
                        return Outcome.GONE_IN_DOUBT
                    return Outcome.TAKEN
                doubt.met[dst] = GrowthWatch(self.me.policy.longest_standstill)
                continue
            except AmbiguousResult as error:
                doubt = doubts.setdefault(src, Doubt(error))
                self.intents.note_no_answer(dst)
            except Busy:
                # On SMB a loser of the race for a job holds its file open for a moment more.
                busy += 1
                if busy == _BUSY_TRIES:
                    raise
                self.share.sleep(pause)
                pause *= 2
                continue
            else:
                if doubts:
                    doubts.pop(src, None)
                if self.intents.refused:
                    self.intents.refused.pop(src, None)
                return Outcome.RENAMED
            if not (self.me.guarantees.repeatable_rename or self.look.is_there(src)):
                doubts.pop(src, None)
                return Outcome.GONE_IN_DOUBT
            self.share.sleep(pause)
            pause *= 2
        if doubt is None and split(src)[0] != split(dst)[0]:
            raise NotFound(f"{split(dst)[0]!r} can't be used as a folder: move away what is there")
        if doubt is None:
            raise FileStays(f"{src!r} is there, and is not found when it is to be renamed")
        raise FileStays(f"{src!r} stays where it is: {doubt.error}") from doubt.error

    def _look_at_copy(
        self, src: str, dst: str, doubt: Doubt, growth: GrowthWatch
    ) -> Outcome | None:
        """What stands at `dst`, after a rename that may have been carried out: a stranger's
        file, or our own copy, that still grows or whose source the server deletes next.

        Returns:
            None if it is to be waited for.

        Raises:
            SourceStays: it is our copy, and whole, but its source is not deleted.
        """
        source = self.look.entry_at(src)
        if source is None:
            self.intents.doubts.pop(src, None)
            return Outcome.GONE_IN_DOUBT
        copy = self.look.entry_at(dst)
        if copy is None:
            doubt.met.pop(dst, None)
            return None
        if self.me.guarantees.atomic_rename or copy.mtime is None or source.mtime is None:
            return Outcome.TAKEN
        if copy.mtime < source.mtime:
            return Outcome.TAKEN  # no copy is older than its source
        if _is_last_step_back(src, dst) and not differ(copy.size, source.size):
            return Outcome.TAKEN  # a second copy of the job was faster
        if not growth.stands_still(copy.size, self.share.now()):
            self.me.count("rename: a copy may still grow: waited")
            return None
        if differ(copy.size, source.size):
            return Outcome.TAKEN
        raise SourceStays(f"{dst!r} is a copy of {src!r}, which can't be removed") from doubt.error

    def rename_numbered(self, src: str, folder: str, job: Entry) -> tuple[Outcome, str]:
        """Rename `src` into a folder under the job's name, or the first of ``job~2``,
        ``job~3``, ... that is free there.

        Returns:
            what became of it, and the name.
        """
        free = layout.names_in_turn(job.name)
        name = next(free)
        while (outcome := self.rename(src, f"{folder}/{name}", job)) is Outcome.TAKEN:
            name = next(free)
        return outcome, name

    def _is_own_file(self, src: str, dst: str, job: Entry) -> bool:
        """Whether a destination that exists is what we renamed: a proxy that sends a rename
        twice hands on the second answer."""
        if self.me.guarantees.final_refusals:
            return False
        refused = self._note_refusal(src, dst)  # should the looks fail, and we come again
        is_own = not self.look.is_there(src) and self.look.arrived_though_refused(
            dst, job, self.clock
        )
        with suppress(ValueError):  # another thread may give back the same file of a dead worker
            refused.remove(dst)
        return is_own

    def _note_refusal(self, src: str, dst: str) -> list[str]:
        """The names that `src` was refused of late and may have come to; `dst` is one now."""
        refused = self.intents.refused.setdefault(src, [])
        if dst not in refused:
            refused.append(dst)
        return refused

    def _source_is_there(self, src: str, dst: str) -> bool:
        """Whether what was not found is not the source: the folder of `dst`, which is made
        again, or nothing, and something between passed on a refusal for a moment."""
        folder = split(dst)[0]
        crosses = folder != split(src)[0]
        if not crosses and self.me.guarantees.final_refusals:
            return False
        # A lagging listing shows a source that is gone: only a missing folder counts then.
        if self.me.policy.mode is Mode.SYNC and (not crosses or self.share.exists(folder)):
            return False
        if not self.look.is_there(src):
            return False
        if crosses:
            make_folder(self.share, folder)
        return True


def _is_last_step_back(src: str, dst: str) -> bool:
    """Whether a file is given its job's name inside one folder: no server measured copies it
    then."""
    return split(src)[0] == split(dst)[0] and not layout.parse_staged(split(dst)[1])
