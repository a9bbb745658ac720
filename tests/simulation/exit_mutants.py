"""Mutants of the ways back and out: exits, sweep, and what the dead left.

Three looks are missing here, for nothing comes of leaving one of them out alone:

- at claims, before the last step of a way back: whoever has the job then finishes it later
  than the copy was made, and the look at what is finished comes after;
- at what is finished, in the sweep: the last step of the way back looks once more;
- the same in a requeue; a torn copy whose whole one is finished can't be there alone, since
  a claim that stands blocks the whole one's claimer.
"""

from __future__ import annotations

import random

from dirjobs.layout import RUNNING
from tests.simulation.requests import Rename
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

from .life_mutants import returning_copies
from .mutants import Mutant
from .scenarios import (
    again,
    attempts,
    calm,
    comers,
    lives,
    refuted,
    stuck,
    torn,
    withdrawals,
)


def broken_returns(rng: random.Random) -> Scenario:
    """Workers that are killed in the middle of giving jobs back."""
    return calm(
        rng,
        Kind.COPYING,
        workers=("w1", "w2", "w3"),
        release=0.5,
        fatal=lambda request: (
            isinstance(request, Rename) and request.dst.startswith(f"{RUNNING}/~")
        ),
        deaths=3,
        same_host=rng.random() < 0.7,
        troubled_until=100.0,
    )


EXIT_MUTANTS = (
    Mutant(
        "release does not spend the name",
        again,
        (("protocol.exits",
          "came_back = self.put_back(path, job)\n        self.intents.retire(path)",
          "came_back = self.put_back(path, job)\n        self.intents.forget(path)\n"
          "        self.intents._retired.discard(path)"),),
    ),
    Mutant(
        "put back in verify goes straight to 00_waiting",
        withdrawals,
        (("protocol.exits", "if self.me.trusts or folder == WAITING:", "if True:"),),
    ),
    Mutant(
        "put back does not look at what is finished",
        withdrawals,
        (("protocol.exits", "            if self.identity.is_over(path, job, found):\n"
          '                self.me.count("put back: finished meanwhile, parked")',
          "            if False:\n"
          '                self.me.count("put back: finished meanwhile, parked")'),),
    ),
    Mutant(
        "a name taken at the last step back is not parked",
        torn,
        (("protocol.exits", '            self.me.count("put back: name taken, parked")\n'
          "            self.park(path, job)", "            pass"),),
        "s0",
    ),
    Mutant(
        "names half way are forgotten though the job is claimed",
        returning_copies,
        (("protocol.exits", "staging.resolved = came is not Return.DEFERRED",
          "staging.resolved = True"),),
    ),
    Mutant(
        "a torn claim on probation is done all the same",
        refuted,
        (("protocol.exits", "if unconfirmed and self.audit.is_torn",
          "if False and self.audit.is_torn"),), "a",
    ),
    Mutant(
        "a claim whose source stays is forgotten",
        stuck,
        (("protocol.exits", "            self.intents.leave_in_doubt(path)\n\n    def put_back",
          "            self.intents.retire(path)\n\n    def put_back"),),
    ),
    Mutant(
        "a copy whose source stays is taken for a stranger's file",
        stuck,
        (("protocol.resolve", "        raise SourceStays(",
          "        return Outcome.TAKEN\n        raise SourceStays("),),
    ),
    Mutant(
        "a claim whose source stays is tried no more",
        stuck,
        (("protocol.sweep", "        self.intents.doubts.pop(path, None)\n        intent.stays",
          "        intent.stays"),),
    ),
    Mutant(
        "each sweep leaves another copy of a claim whose source stays",
        stuck,
        (("protocol.sweep", "intent.rests = 2**intent.stays", "intent.rests = 0"),),
    ),
    Mutant(
        "a sweep tries once",
        again,
        (("protocol.sweep", "                    self.intents.leave_in_doubt(path)",
          "                    self.intents.forget(path)"),),
    ),
    Mutant(
        "what the dead left in 00_waiting is not looked for",
        lives,
        (("recovery.orphans", "for folder in (RUNNING, WAITING):\n            orphans =",
          "for folder in (RUNNING,):\n            orphans ="),),
        "s62",
    ),
    Mutant(
        "no second look at the heartbeat",
        comers,
        (("recovery.orphans", "checked[worker] = still_dead(worker)", "checked[worker] = True"),),
    ),
    Mutant(
        "a growing orphan is taken at once",
        torn,
        (("recovery.orphans", "        if self.parts.me.trusts:\n            return False\n"
          "        if orphan.job.size", "        return False\n        if orphan.job.size"),),
        "s1",
    ),
    Mutant(
        "one death too many",
        attempts,
        (("recovery.orphans", "if deaths >= self.max_attempts:",
          "if deaths > self.max_attempts:"),),
    ),
    Mutant(
        "a job is given up at the first death",
        attempts,
        (("recovery.orphans", "if deaths >= self.max_attempts:", "if True:"),),
    ),
    Mutant(
        "staged returns of the dead are not known",
        broken_returns,
        (("recovery.orphans", "        if worker in dead:",
          "        if worker in dead and not (file.staged and folder == RUNNING):"),),
    ),
    Mutant(
        "a death is noted after the rename",
        attempts,
        (
            ("recovery.orphans", "        deaths = attempts.note(",
             "        deaths = 1 + attempts.deaths(attempts.read(self.parts.share, job.name))\n"
             "        noting = lambda: attempts.note("),
            ("recovery.orphans", "        if moved:\n            self.requeued",
             "        if moved:\n            noting()\n            self.requeued"),
        ),
        "s2",
    ),
)  # fmt: skip
