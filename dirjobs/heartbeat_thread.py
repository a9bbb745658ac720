"""The thread that keeps a worker alive to others, and its end."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from threading import Event, Thread

from dirjobs.errors import StoreError
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.intents import State
from dirjobs.recovery.membership import Membership
from dirjobs.worker import TRANSIENT_ERRORS, Worker

log = logging.getLogger(__name__)


class HeartbeatThread:
    """Beats until it is stopped.  Knows nothing of `DirJobs`, so that it keeps none alive.

    Args:
        worker: whose claims are given back at the end.
        membership: the heartbeat, on a connection of its own, so that a long transfer delays
            none.
    """

    def __init__(self, worker: Worker, membership: Membership) -> None:
        self._worker = worker
        self._membership = membership
        self._share = membership.share
        self._stopped = Event()
        self._pid = os.getpid()
        self._thread = Thread(target=self._run, name="dirjobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Announce the worker, then keep it announced.

        Raises:
            WorkerIdInUse, ConfigurationError, StoreError: as `Membership.start`.
            ClaimAborted: this worker was drained at once meanwhile.
        """
        try:
            # In mode sync this takes as long as a change takes to be seen everywhere.
            with self._share.waiting_by(self._membership.control.sleep_unless_aborted):
                self._membership.start()
            self._thread.start()
        except BaseException:
            # A signal, most likely: nobody must take us for a live worker.
            self._stopped.set()
            with suppress(StoreError):
                self._membership.end()
            self._share.store.close()
            raise

    def stop(self) -> None:
        """Give back what is still claimed, and say that this worker has ended."""
        if self._pid != os.getpid() or self._stopped.is_set():
            return  # a forked child has nothing of its parent's to end
        self._stopped.set()
        self._worker.leaving = True
        if self._thread.is_alive():
            self._thread.join()
        held = self._membership.parts.intents.in_state(State.HELD)
        try:
            for path, intent in held.items():
                self._give_back(Claim(intent.worker, intent.job, path))
            self._membership.end()
        except StoreError as error:
            log.warning(
                "could not say goodbye (%s); others take over when the lease is over", error
            )
        finally:
            self._share.store.close()

    def _give_back(self, claim: Claim) -> None:
        """Unless the store refuses; what is left under an ended id, the others put back.

        Raises:
            StoreError: the store can't be reached, so there is no use in going on.
        """
        self._membership.throughput.let_go(claim.path)
        try:
            self._membership.parts.exits.release(claim.path, claim.job)
        except TRANSIENT_ERRORS:
            raise
        except StoreError as error:
            log.warning("job %r could not be given back (%s)", claim.job.name, error)

    def _run(self) -> None:
        silent = False
        took = 0.0
        now = self._share.now
        me = self._membership.me
        while not self._stopped.wait(max(0.0, me.policy.heartbeat - took)):
            began = now()
            try:
                self._membership.beat()
            except StoreError as error:
                if not silent:
                    log.warning("no heartbeat could be written (%s); trying on", error)
                silent = True
            except Exception:
                log.exception("the heartbeat met a defect of dirjobs; trying on")
                silent = True
            else:
                if silent:
                    log.warning("the heartbeat is written again")
                silent = False
            took = now() - began
