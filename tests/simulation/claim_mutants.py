"""Mutants of the claim protocol."""

from __future__ import annotations

import random
from dataclasses import replace

from dirjobs.policy import Mode
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

from .mutants import Mutant
from .scenarios import (
    JOBS,
    Family,
    clocks,
    inside_waiting,
    refuted,
    scenario,
    used_names,
    withdrawals,
)


def of_kinds(*choices: tuple[Kind, Mode | None], **changes: object) -> Family:
    def family(rng: random.Random) -> Scenario:
        kind, mode = rng.choice(choices)
        return replace(scenario(rng, kind, mode), **changes)  # type: ignore[arg-type]

    return family


def half_the_wait(rng: random.Random) -> Scenario:
    plain = scenario(rng, Kind.SYNCED)
    wait = (plain.lag + plain.write_lag) / 2
    return replace(plain, policy=replace(plain.policy, sync_time=wait))


def faulty_trust(rng: random.Random) -> Scenario:
    return replace(scenario(rng, Kind.ATOMIC), lost=0.1, mute=0.2, late=0.1, snatches=0)


def doubled(rng: random.Random) -> Scenario:
    """A proxy that sends some renames twice, and hands on the second answer."""
    kind, mode = rng.choice(((Kind.ATOMIC, Mode.TRUST), (Kind.ATOMIC, Mode.VERIFY)))
    return replace(
        scenario(rng, kind, mode),
        lost=0.0,
        mute=0.0,
        late=0.0,
        refused=0.1,
        snatches=0,
        release=0.0,
    )


def doubled_at_odd_times(rng: random.Random) -> Scenario:
    """The same, where renames are copies and the clock is set."""
    return replace(clocks(rng), lost=0.0, mute=0.0, late=0.0, refused=0.1)


def twins(rng: random.Random) -> Scenario:
    """Two processes with one id; only the rename inside ``00_waiting`` may go wrong."""
    return replace(
        scenario(rng, Kind.COPYING, Mode.VERIFY),
        workers=("w1", "w1", "w1"),
        jobs=((JOBS[0], 1000),),
        lost=0.3,
        mute=0.0,
        late=0.0,
        refused=0.0,
        faulty=inside_waiting,
        sweeps=False,
        reuse=0,
        release=0.0,
        snatches=0,
        leftover=False,
    )


QUIET = {
    "lost": 0.0,
    "mute": 0.0,
    "late": 0.0,
    "refused": 0.0,
    "release": 0.0,
    "snatches": 0,
    "leftover": False,
}
TWO_NAMES = (("job.txt", 7), ("bigjob.txt", 7))

CLAIM_MUTANTS = (
    Mutant("S = D/2", half_the_wait),
    Mutant(
        "no look at what is finished",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (("protocol.look", "for folder in (DONE, FAILED):", "for folder in ():"),),
    ),
    Mutant(
        "finished is judged by the time of the listing",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (
            ("protocol.look", "return finished.mtime >= job.mtime",
             "return finished.mtime >= self.asked"),
            ("protocol.claim", "        mode, worker = me.policy.mode, me.worker\n",
             "        mode, worker = me.policy.mode, me.worker\n"
             "        self.look.asked = self.share.now()\n"),
        ),
    ),
    Mutant(
        "a re-used name is taken for the finished job",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None), reuse=1),
        (("protocol.look", "return finished.mtime >= job.mtime", "return True"),),
    ),
    Mutant(
        "what looks older has ended before, though the clock was set back",
        clocks,
        (("protocol.identity", "if found is None or not is_older(found, job):", "if True:"),),
    ),
    Mutant(
        "a file that is not the one that was listed is parked",
        used_names,
        (("protocol.identity", "        if copies is not False and not (",
          "        if True or ("),),
    ),
    Mutant(
        "a torn copy is taken for a job that was saved anew",
        withdrawals,
        (("protocol.identity", "    return file.size > own.size or (", "    return False and ("),),
    ),
    Mutant(
        "the size is compared only after withdrawing",
        of_kinds((Kind.COPYING, Mode.SYNC), snatches=0),
        (
            ("protocol.claim", "if differ(rivals.mine.size, job.size):",
             "if differ(rivals.mine.size, job.size) and not rivals.smaller:"),
            ("protocol.exits", "if found is not None and differ(found.size, job.size):",
             "if False:"),
            ("protocol.sweep", "if differ(entry.size, job.size):", "if False:"),
        ),
        "b",
    ),
    Mutant(
        "no answer is taken for failure",
        faulty_trust,
        (("protocol.claim",
          "self.intents.note_no_answer(path)\n            mine = self.share.exists(path)",
          "self.intents.forget(path)\n            return False\n            mine = False"),),
    ),
    Mutant(
        "no answer is taken for success",
        faulty_trust,
        (("protocol.claim", "mine = self.share.exists(path)", "mine = True"),),
    ),
    Mutant(
        "a rename that found no source is taken for none",
        doubled,
        (("protocol.look", "if self.me.guarantees.final_refusals or not self.is_there(path):",
          "if True:"),),
    ),
    Mutant(
        "a claim that found no source is taken for nobody's",
        doubled,
        (("protocol.claim", "            if not self._arrived_all_the_same(claim.job, path):",
          "            if True:"),),
    ),
    Mutant(
        "a torn copy that was refused is nobody's",
        refuted,
        (("protocol.claim",
          "            self.intents.note_no_answer(dst)\n            return False",
          "            return False"),),
    ),
    Mutant(
        "an end that found no source is taken for a claim lost",
        doubled,
        (("protocol.resolve", "                if not arrived:", "                if True:"),),
    ),
    Mutant(
        "an end that looks older than its job is a stranger's, though the clock was set back",
        doubled_at_odd_times,
        (("protocol.look", "return clock.is_before(job.mtime)", "return False"),),
    ),
    Mutant(
        "a name asked for in vain is forgotten before it was looked for",
        faulty_trust,
        (("protocol.resolve", "        if dst not in refused:",
          "        refused.clear()\n        if dst not in refused:"),),
    ),
    Mutant(
        "the own claim is not looked for",
        of_kinds((Kind.PHANTOM, None)),
        (
            ("protocol.claim", "if rivals.mine is None:",
             "rivals = Rivals(rivals.mine or job, rivals.smaller, rivals.larger)\n"
             "            if False:"),
            ("protocol.claim", "mine = self._rivals(claim).mine",
             "mine = self._rivals(claim).mine or job"),
        ),
    ),
    Mutant(
        "a sweep takes names whose answer is under way",
        of_kinds((Kind.COPYING, Mode.VERIFY), (Kind.ATOMIC, None), latency=2.0),
        (
            ("protocol.sweep", "doubtful = self.intents.in_state(State.IN_DOUBT)\n        if",
             "doubtful = self.intents.in_state(State.IN_DOUBT)"
             " | self.intents.in_state(State.PENDING)\n        if"),
            ("protocol.intents", "if intent is None or intent.state is not State.IN_DOUBT:",
             "if intent is None or intent.state is State.HELD:"),
        ),
    ),
    Mutant(
        "two processes with one id, without the nonce",
        twins,
        (("protocol.claim", "layout.staged_claim(claim.worker, job.name, self.me.nonce())",
          "layout.staged_claim(claim.worker, job.name, 'x')"),),
    ),
    Mutant(
        "a rival is found by substring",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None), jobs=TWO_NAMES, work=30.0, **QUIET),
        (("protocol.claim", "names.same_name(file.job.name, claim.job.name)",
          "claim.job.name in file.file"),),
    ),
    Mutant(
        "a loser withdraws before S is over",
        of_kinds((Kind.SYNCED, None), (Kind.MOUNT, None)),
        (("protocol.claim", "        self.share.sleep(wait)\n        while True:",
          "        while True:"),),
    ),
    Mutant(
        "the smaller worker does not wait for the larger one",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (("protocol.claim", "            if not rivals.larger:\n                break",
          "            break"),),
    ),
)  # fmt: skip
