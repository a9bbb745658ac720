"""Evidence against renames that are trusted only because a check recorded it.

An exclusive rename can't bring about two claims of one job, a claim of another size than
its job, or a claim that is gone and that nobody took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dirjobs.layout import RUNNING, WAITING
from dirjobs.protocol import attempts
from dirjobs.protocol.look import Look, differ
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.store import Entry


@dataclass
class Evidence:
    """What one worker has found out by the way; shared by its threads.

    Attributes:
        found: what was met that an exclusive rename can't bring about.
        unconfirmed: claims made on probation that no listing has shown whole yet: where
            renames are copies after all, they may be torn.
        departing: paths that we are renaming away; their absence is no evidence.
    """

    found: list[str] = field(default_factory=list)
    unconfirmed: set[str] = field(default_factory=set)
    departing: set[str] = field(default_factory=set)


class Audit:
    """Looks for evidence while the worker is on probation.

    Args:
        share: where to look.
        me: whose claims are looked at.
        look: finds out what is there.
        evidence: what was found so far.
    """

    def __init__(self, share: Share, me: Me, look: Look, evidence: Evidence) -> None:
        self.share = share
        self.me = me
        self.look = look
        self.evidence = evidence

    def torn_claims(self, held: Mapping[str, Entry], *, blames: bool = True) -> set[str]:
        """Look whether claims of ours are there, whole, and the only ones of their jobs.

        Args:
            held: the jobs of our claims, by path.
            blames: False for a worker that others may have taken for dead: a claim that
                was given back is gone for a reason.

        Returns:
            the claims that are torn: copies that must not be taken for their jobs.
        """
        there: dict[str, Entry] = {}
        workers: dict[str, set[str]] = {}
        for file in self.share.jobs_in(RUNNING):
            if not file.staged:
                there[file.path] = file.job
                workers.setdefault(file.job.name, set()).add(file.worker)
        torn = set()
        for path, job in held.items():
            if path not in there:
                if blames and path not in self.evidence.departing:
                    self.suspect_loss(path, job)
            elif differ(there[path].size, job.size):
                torn.add(path)
                self.evidence.found.append(f"the claim {path} has another size than its job")
            else:
                self.evidence.unconfirmed.discard(path)
        for name, claimants in workers.items():
            if len(claimants) > 1:
                some = " and ".join(sorted(claimants)[:2])
                self.evidence.found.append(f"job {name!r} is claimed by {some}")
        return torn

    def is_torn(self, path: str, job: Entry, *, blames: bool) -> bool:
        """Whether a claim that no listing has confirmed yet is an unfinished copy."""
        if path not in self.evidence.unconfirmed:
            return False
        return bool(self.torn_claims({path: job}, blames=blames))

    def suspect_loss(self, path: str, job: Entry) -> None:
        """A claim of ours is gone, and nobody had a reason to take it: evidence against
        exclusive renames, unless somebody has put the job back, or cancelled it."""
        if not self.me.on_probation or self.look.is_there(f"{WAITING}/{job.name}"):
            return
        if not attempts.was_taken_by_hand(self.share, job.name):
            self.evidence.found.append(f"the claim {path} is gone, and not by its worker's doing")
