"""Handing in what could not be stored when a job ended, and was kept on this machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import NamedTuple

from dirjobs.admin.locate import locate
from dirjobs.admin.logs import log_path
from dirjobs.console.errors import say
from dirjobs.errors import ClaimLost, ConfigurationError
from dirjobs.files.leftovers import files_in
from dirjobs.files.upload import Delivery
from dirjobs.files.workspace import Note, Workspace, kept, place_of
from dirjobs.layout import DONE, FAILED, RUNNING, JobFile
from dirjobs.protocol import attempts, journal
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.journal import Details, Record
from dirjobs.protocol.look import differ
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import Membership
from dirjobs.recovery.peers import Peer
from dirjobs.recovery.process import Process
from dirjobs.shell import quoted
from dirjobs.store import Entry


def is_for(note: Note, place: str, queue_id: str) -> bool:
    """Whether a workspace is of the queue at `place`, or of the one with this id."""
    if note.queue_id and queue_id:
        return note.queue_id == queue_id
    return note.queue == place


def what_is_kept(scratch: str, share: Share) -> str:
    """One line about what waits here to be handed in at this queue; empty if nothing does.
    What attempts that never ended have left behind, and is empty, is removed."""
    jobs = []
    place = place_of(share)
    queue_id: str | None = None
    for workspace in kept(scratch):
        note = workspace.note
        if not note.ended:
            if not workspace.has_results:
                workspace.remove()
        else:
            if queue_id is None:
                queue_id = Delivery(share).queue_id()
            if is_for(note, place, queue_id):
                jobs.append(note.job)
        workspace.close()
    if not jobs:
        return ""
    which = f"job {jobs[0]!r}" if len(jobs) == 1 else f"{len(jobs):,} attempts at jobs"
    return (
        f"results or logs of {which} are kept on this machine, since they could not be stored:"
        f" `dirjobs deliver {quoted(place)}` hands them in."
    )


class Delivered(NamedTuple):
    """What came of one workspace.

    Attributes:
        told: one sentence.
        gone: all of it is on the share, and the folder is removed.
    """

    told: str
    gone: bool


class HandIn:
    """Brings workspaces to the queue they are of.

    Args:
        member: somebody who has joined the queue.
        peers: who else is there.
    """

    def __init__(self, member: Membership, peers: Sequence[Peer]) -> None:
        self._member = member
        self._share = member.share
        self._peers = peers
        self._delivery = Delivery(member.share, tell=say)

    def hand_in(self, workspace: Workspace) -> Delivered:
        """Store what is kept, end the job if it is still the attempt's, and remove the folder
        when all of it is there.  Another call goes on where this one was interrupted.

        Raises:
            StoreError: the store can't be used; everything stays.
        """
        note = workspace.note
        if not note.ended:
            return self._stays(
                workspace, "its command was interrupted, so what it left is not whole"
            )
        places = locate(self._share, note.job)
        problem = self._log(workspace)
        claim = next((p for p in places if p.folder == RUNNING and p.file == note.claim), None)
        if claim is not None:
            return self._end(workspace, claim, problem)
        if note.results_stored:
            how = "were stored before"
        elif self._failed_for_them(note, places):
            if told := self._results(workspace):
                return self._stays(workspace, told)
            how = self._no_longer_failed(workspace, places)
        elif next(files_in(workspace.results), None) is None:
            how = "were none"
        else:
            return self._stays(workspace, _elsewhere(places))
        if problem:
            return self._stays(workspace, problem)
        return self._removed(workspace, f"job {note.job!r}: its results {how}")

    # -- the steps ------------------------------------------------------------------------

    def _log(self, workspace: Workspace) -> str:
        """Store the log, which is that of one attempt, whatever became of the job; why it
        isn't there."""
        note = workspace.note
        if note.log_stored:
            return ""
        try:
            with open(workspace.log, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return ""  # this machine had no room for it
        if not self._delivery.log(log_path(note.job, note.worker), data, patient=False):
            return "its log can't be stored"
        workspace.record(log_stored=True)
        return ""

    def _results(self, workspace: Workspace) -> str:
        """Store the results; what is not there, and why."""
        if workspace.note.results_stored:
            return ""
        note = workspace.note
        if next(files_in(workspace.results), None) is None:
            return ""
        place = note.files or self._delivery.place_for(note.job, note.worker)
        workspace.record(files=place)
        problem = self._delivery.results(place, workspace.results)
        if not problem:
            workspace.record(results_stored=True)
        return problem

    def _end(self, workspace: Workspace, claim: JobFile, problem: str) -> Delivered:
        """End a job that is still claimed by the attempt's worker."""
        note, job = workspace.note, claim.job
        holder = self._holder(note)
        if holder is not None:
            told = (
                f"worker {note.worker!r} has it and may be alive (process {holder.pid} on"
                f" {holder.host}); try again when it has ended"
            )
            return self._stays(workspace, told)
        if differ(job.size, note.size):
            return self._stays(workspace, "another file goes by its name now")
        problem = self._results(workspace) or problem
        if problem:
            return self._stays(workspace, problem)
        folder = FAILED if note.problem else DONE
        if note.problem:
            attempts.note(self._share, note.job, note.worker, note.problem, once=workspace.path)
        entry = Entry(note.job, job.mtime, job.size)
        record = self._record(workspace, journal.FAILED if note.problem else journal.DONE)
        try:
            name = self._member.parts.exits.finish(
                Claim(note.worker, entry, claim.path), folder, lambda _: True
            )
        except ClaimLost:
            if any(place.folder == folder for place in locate(self._share, note.job)):
                return self._removed(workspace, f"job {note.job!r}: its results are stored")
            self._settle(workspace, record, None)
            return self._stays(workspace, "somebody took it from there in this very moment")
        self._settle(workspace, record, name)
        how = f"failed ({note.problem})" if note.problem else "done"
        told = f"job {note.job!r} is {how}"
        if name != note.job:
            told += f", as {name!r}"
        return self._removed(workspace, f"{told}; its results are stored")

    def _holder(self, note: Note) -> Process | None:
        """Somebody else who may live and goes by the name in the claim."""
        for peer in self._peers:
            heartbeat = peer.heartbeat
            if heartbeat.worker != note.worker or peer.cause:
                continue
            # The one who made the attempt has let go of it: nobody else could lock the folder.
            if heartbeat.process != note.process:
                return heartbeat.process
        return None

    def _failed_for_them(self, note: Note, places: Sequence[JobFile]) -> bool:
        """Whether the job failed since these very results could not be stored."""
        if not note.refused or not any(place.folder == FAILED for place in places):
            return False
        noted = attempts.read(self._share, note.job)
        if not noted or noted[-1].get("worker") != note.worker:
            return False
        reason = noted[-1].get("reason")
        # A long reason is cut there.
        return bool(reason) and note.refused.startswith(str(reason))

    def _no_longer_failed(self, workspace: Workspace, places: Sequence[JobFile]) -> str:
        """Results that are there now are no reason to fail any more."""
        note = workspace.note
        if note.problem:
            return f"are stored; it stays failed ({note.problem})"
        place = next(place for place in places if place.folder == FAILED)
        record = self._record(workspace, journal.DONE)
        outcome, name = self._member.parts.resolver.rename_numbered(place.path, DONE, place.job)
        self._settle(workspace, record, name if outcome.arrived else None)
        return f"are stored, and it is done as {name!r}" if outcome.arrived else "are stored"

    # -- the journal ----------------------------------------------------------------------

    def _record(self, workspace: Workspace, end: str) -> Record:
        """Record the attempt: whoever made it may have ended before it could."""
        note = workspace.note
        details = Details() if note.details is None else journal.from_json(note.details)
        details.log, details.files = log_path(note.job, note.worker), note.files
        record = Record.of(
            details,
            note.problem,
            job=note.job,
            worker=note.worker,
            host=platform.node(),
            started=note.began,
            ended=note.ended,
            end=end,
        )
        self._member.parts.journal.note(self._share, workspace.path, record)
        return record

    def _settle(self, workspace: Workspace, record: Record, name: str | None) -> None:
        self._member.parts.journal.settle(self._share, workspace.path, record, name)

    # -- what is told ---------------------------------------------------------------------

    def _stays(self, workspace: Workspace, why: str) -> Delivered:
        return Delivered(
            f"job {workspace.note.job!r}: {why}; what is kept stays in {workspace.path!r} on"
            f" {platform.node()}.",
            False,
        )

    def _removed(self, workspace: Workspace, told: str) -> Delivered:
        workspace.remove()
        return Delivered(f"{told}.", True)


def _elsewhere(places: Sequence[JobFile]) -> str:
    """Why results go nowhere: the job is not this attempt's any more."""
    claims = [place.worker for place in places if place.folder == RUNNING]
    if claims:
        return f"it is claimed by {claims[0]!r} now, so these results are not its own"
    if not places:
        return "the queue has no job of that name any more"
    return f"it is {places[0].state} without these results, so they are not its own"


def check_is_same_queue(note: Note, place: str, queue_id: str) -> None:
    """Refuse a queue that is not the one a workspace is of.

    Raises:
        ConfigurationError: it is another one.
    """
    if not is_for(note, place, queue_id):
        raise ConfigurationError(
            f"{place!r} is not the queue for which the results of job {note.job!r} are kept"
            f" (that was {note.queue!r}): nothing was handed in."
        )
