"""Evidence against renames that are trusted only because a check recorded it.

People drag claims to other folders, edit jobs, copy them in once more; workers lawfully take
back what another one held.  All that looks like the work of renames that copy, so it is only
a reason to try whether they do (`CopyingTest`): that alone is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping

from dirjobs.layout import RUNNING
from dirjobs.protocol.copying import CopyingTest
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.identity import Identity
from dirjobs.protocol.look import Look, differ
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.store import Entry


class Audit:
    """Looks for evidence while the worker is on probation.

    Args:
        share: where to look.
        me: whose claims are looked at.
        look: finds out what is there.
        evidence: what was found so far.
        copying: tries whether renames copy.
        identity: tells a torn claim from one of another file than was listed.
    """

    def __init__(
        self,
        share: Share,
        me: Me,
        look: Look,
        evidence: Evidence,
        copying: CopyingTest,
        identity: Identity,
    ) -> None:
        self.share = share
        self.me = me
        self.look = look
        self.evidence = evidence
        self.copying = copying
        self.identity = identity

    def inspect(self, held: Mapping[str, Entry]) -> None:
        """Look whether claims of ours are there, whole, and the only ones of their jobs; if
        something is odd, try whether renames copy.

        Args:
            held: the jobs of our claims, by path.
        """
        there: dict[str, Entry] = {}
        workers: dict[str, set[str]] = {}
        for file in self.share.jobs_in(RUNNING):
            if not file.staged:
                there[file.path] = file.job
                workers.setdefault(file.job.name, set()).add(file.worker)
        for path, job in held.items():
            if path not in there:
                if path not in self.evidence.departing:
                    self.suspect(f"the claim {path} is gone, and not by its worker's doing")
            elif differ(there[path].size, job.size):
                self.suspect(f"the claim {path} has another size than its job")
            else:
                self.evidence.unconfirmed.discard(path)
        for name, claimants in workers.items():
            if len(claimants) > 1:
                some = " and ".join(sorted(claimants)[:2])
                self.suspect(f"job {name!r} is claimed by {some}")
        self.confirm()

    def suspect(self, oddity: str) -> None:
        """Note what renames that copy could have brought about, and people as well."""
        if self.me.on_probation and not self.evidence.suspected:
            self.evidence.suspected = oddity

    def confirm(self) -> None:
        """Try whether renames copy, if anything was odd."""
        evidence = self.evidence
        if not evidence.suspected:
            return
        copies = self.copying.copies()
        if copies:
            self.me.count("trust: refuted by a rename that copied")
            evidence.found.append(f"renames copy, as was tried when {evidence.suspected}")
        elif copies is False:
            self.me.count("trust: odd, but a rename did not copy")
        if copies is not None:
            evidence.suspected = ""

    def is_torn(self, path: str, job: Entry) -> bool:
        """Whether a claim that no listing has confirmed yet is an unfinished copy."""
        if path not in self.evidence.unconfirmed:
            return False
        entry = self.look.entry_at(path)
        if entry is not None and differ(entry.size, job.size):
            self.suspect(f"the claim {path} has another size than its job")
            if self.identity.of(path, entry, job) is None:
                return True
        self.evidence.unconfirmed.discard(path)
        return False
