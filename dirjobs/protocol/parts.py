"""The parts of the protocol, put together for one connection."""

from __future__ import annotations

from dirjobs.protocol.audit import Audit
from dirjobs.protocol.claim import Claimer
from dirjobs.protocol.copying import CopyingTest
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.exits import Exits
from dirjobs.protocol.identity import Identity
from dirjobs.protocol.intents import Intents
from dirjobs.protocol.journal import Journal
from dirjobs.protocol.look import Look
from dirjobs.protocol.me import Me
from dirjobs.protocol.resolve import Resolver
from dirjobs.protocol.share import Share
from dirjobs.protocol.store_clock import StoreClock
from dirjobs.protocol.sweep import Sweeper


class Parts:
    """What one worker does on one connection.

    `me`, `intents`, `evidence` and `journal` are what the worker knows, whichever thread asks;
    the others act on `share`.

    Args:
        share: the connection.
        me: the worker.
        intents: the names it asked for; new ones by default.
        evidence: what it found out about renames; none by default.
        journal: what came of its attempts; an empty one by default.
    """

    def __init__(
        self,
        share: Share,
        me: Me,
        intents: Intents | None = None,
        evidence: Evidence | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents = intents or Intents()
        self.evidence = evidence = evidence or Evidence()
        self.journal = journal or Journal(me)
        self.look = Look(share, me)
        copying = CopyingTest(share, me, self.look, evidence)
        self.identity = identity = Identity(share, me, self.look, copying)
        self.audit = Audit(share, me, self.look, evidence, copying, identity)
        self.resolver = Resolver(
            share, me, intents, self.look, evidence, StoreClock(share, me.nonce)
        )
        self.exits = Exits(share, me, intents, self.look, self.resolver, self.audit, identity)
        self.sweeper = Sweeper(share, me, intents, identity, self.exits)
        self.claimer = Claimer(share, me, intents, self.look, self.exits, identity, evidence)

    def over(self, share: Share) -> Parts:
        """The same worker over another connection, or with another way of waiting."""
        return Parts(share, self.me, self.intents, self.evidence, self.journal)
