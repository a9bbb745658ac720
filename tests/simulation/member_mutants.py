"""Mutants of joining, agreeing, obeying and ending."""

from __future__ import annotations

from .life_mutants import living
from .mutants import Mutant
from .scenarios import (
    closers,
    forks,
    halfway,
    leavers,
    modes,
    namesakes,
    paused,
    refuted,
    resumed,
    sleepers,
    unseen,
)
from .world import Kind

MEMBER_MUTANTS = (
    Mutant(
        "a worker lists before others can see it",
        namesakes,
        (("recovery.membership", "        self.share.sleep(me.policy.wait)\n        found =",
          "        found ="),),
    ),
    Mutant(
        "ids are compared with their case",
        namesakes,
        (
            ("recovery.membership", "me = base_id(self.me.worker).casefold()",
             "me = base_id(self.me.worker)"),
            ("recovery.membership", "if base_id(peer.heartbeat.worker).casefold() == me",
             "if base_id(peer.heartbeat.worker) == me"),
        ),
    ),
    Mutant(
        "a live namesake is not refused",
        namesakes,
        (("recovery.membership",
          "if not peer.cause and not is_same(heartbeat.process, self.process):", "if False:"),),
    ),
    Mutant(
        "a twin found later is ignored",
        unseen,
        (("recovery.membership",
          "if not heartbeat.ended and heartbeat.worker.casefold() == self.me.worker.casefold():",
          "if False:"),),
        "s5",
    ),
    Mutant(
        "a silent namesake is not waited for",
        resumed,
        (("recovery.membership", "        if silent:\n", "        if False:\n"),),
    ),
    Mutant(
        "a start reaps whoever looks dead by the share's clock",
        living(Kind.ATOMIC, bounds=True, outage=500.0),
        (("recovery.membership", "if peer.proven or peer in ours]", "if peer.cause]"),),
    ),
    Mutant(
        "a newcomer ignores the modes of the living",
        modes,
        (("protocol.agreement", "        for policy in live:\n",
          "        for policy in live[:0]:\n"),),
    ),
    Mutant(
        "queue.json is never followed",
        refuted,
        (("protocol.agreement", "        if recorded is not None:\n            agreed = agreed.",
          "        if False:\n            agreed = agreed."),), "a",
    ),
    Mutant(
        "nobody waits until the others use the new mode",
        modes,
        (("protocol.agreement", "            self.share.sleep(pause)", "            pass"),),
    ),
    Mutant(
        "evidence is ignored",
        refuted,
        (("protocol.agreement", "if not found or not self.me.on_probation:", "if True:"),),
    ),
    Mutant(
        "after evidence nobody waits for the others",
        refuted,
        (("worker", "        self.control.sleep_unless_drained(self.share, hold)\n",
          "        pass\n"),), "a",
    ),
    Mutant(
        "after evidence only who knows of others waits for them",
        refuted,
        (("worker", "        hold = max(0.0, agreement.no_claims_before - self.share.now())\n",
          "        hold = max(0.0, agreement.no_claims_before - self.share.now())\n"
          "        hold *= bool(membership.peers.known)\n"),), "b",
    ),
    Mutant(
        "two threads try with one file whether renames copy",
        refuted,
        (("protocol.copying", '        src, dst = f"{QUEUE}/{name}"',
          '        test_files.append(name)\n        src, dst = f"{QUEUE}/{name}"'),), "a",
    ),
    Mutant(
        "a claim counts though its worker may have been taken for dead",
        living(Kind.ATOMIC, pauses=20, pause=400.0, twins=False, latency=4.0),
        (("worker", "if claim is not None and self._needs_new_incarnation(now):", "if False:"),),
        "a",
    ),
    Mutant(
        "a worker claims under a name that may be dead",
        living(Kind.ATOMIC, pauses=20, pause=400.0, twins=False, latency=4.0),
        (("worker", "return me.lease_gaps > me.lease_gaps_at_start or"
          " now - me.last_beat > me.longest_gap", "return False"),),
        "s3",
    ),
    Mutant(
        "only the present gap makes a worker doubt its claim",
        sleepers,
        (("worker", "return me.own_lease_expired(self.share.now()) or"
          " me.lease_gaps > claim.lease_gaps", "return me.own_lease_expired(self.share.now())"),),
    ),
    Mutant(
        "a claim that comes while its worker is closed is kept",
        closers,
        (("worker", "if control.draining:\n                    # Whoever",
          "if False:\n                    # Whoever"),),
    ),
    Mutant(
        "who finds nothing does not look what the gone have left",
        leavers,
        (
            ("worker", "                if self._take_over():\n                    continue\n", ""),
            ("recovery.membership", "        if theirs:\n            self.take_over",
             "        if False:\n            self.take_over"),
        ),
    ),
    Mutant(
        "heartbeats sweep 01_running alone",
        halfway,
        (("recovery.membership", "(WAITING,) if self._beats % 2 else (RUNNING,)",
          "(RUNNING,)"),),
    ),
    Mutant(
        "a pause is ignored",
        paused,
        (("worker", "if control.paused and not control.wait_while_paused(self.share):",
          "if False:"),),
    ),
    Mutant(
        "a forked child is taken for its parent's twin",
        forks,
        (("recovery.membership", "        if base_id(first.worker) != first.worker:\n",
          "        if False:\n"),),
    ),
)  # fmt: skip
