"""Renames that are trusted by a record, though the store doesn't promise that they are
exclusive: looking for what an exclusive rename can't bring about."""

from __future__ import annotations

from collections.abc import Mapping

from dirjobs import layout
from dirjobs.layout import RUNNING, WAITING
from dirjobs.protocol import attempts
from dirjobs.protocol.effects import Steps
from dirjobs.protocol.resolve import Settling, differ
from dirjobs.store import Entry, FileKind


class Trial(Settling):
    """What one worker finds out about renames by the way."""

    def look_at_claims(self, held: Mapping[str, Entry], *, blames: bool = True) -> Steps[set[str]]:
        """Look whether claims of ours are there, whole, and the only ones of their jobs.

        What speaks against exclusive renames goes to `evidence`.

        Args:
            held: the jobs of our claims, by path.
            blames: False for a worker that others may have taken for dead: a claim that
                was given back is gone for a reason.

        Returns:
            the claims that are torn: copies that must not be taken for their jobs.
        """
        there: dict[str, Entry] = {}
        workers: dict[str, set[str]] = {}
        for entry in (yield from self.listing(RUNNING)):
            claim = layout.parse_claim(entry.name)
            if claim is not None and entry.kind is FileKind.FILE:
                there[f"{RUNNING}/{entry.name}"] = entry
                workers.setdefault(claim.job, set()).add(claim.worker)
        torn = set()
        for path, job in held.items():
            if path not in there:
                if blames and path not in self.leaving:
                    yield from self.suspect_loss(path, job)
            elif differ(there[path].size, job.size):
                torn.add(path)
                self.evidence.append(f"the claim {path} has another size than its job")
            else:
                self.unseen.discard(path)
        for name, claimants in workers.items():
            if len(claimants) > 1:
                some = " and ".join(sorted(claimants)[:2])
                self.evidence.append(f"job {name!r} is claimed by {some}")
        return torn

    def suspect_loss(self, path: str, job: Entry) -> Steps[None]:
        """A claim of ours is gone, and nobody had a reason to take it: evidence against
        exclusive renames, unless somebody has put the job back, or cancelled it."""
        if not self.is_on_trial or (yield from self.is_there(f"{WAITING}/{job.name}")):
            return
        if not (yield from attempts.was_taken_by_hand(job.name)):
            self.evidence.append(f"the claim {path} is gone, and not by its worker's doing")
