"""The thread that keeps a worker's heartbeat going, and its end."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from threading import Event, Thread

from dirjobs.clock import monotonic
from dirjobs.errors import StoreError
from dirjobs.protocol.effects import Driver
from dirjobs.protocol.give_back import Held
from dirjobs.protocol.intents import State
from dirjobs.recovery.membership import Presence
from dirjobs.store import Store
from dirjobs.worker import OUTAGE, Worker

log = logging.getLogger("dirjobs")


class Pulse:
    """Beats until it is stopped.  Knows nothing of `DirJobs`, so that it keeps none alive.

    Args:
        worker: whose claims are given back at the end.
        presence: the heartbeat.
        store: a connection of its own, so that a long transfer delays no heartbeat.
    """

    def __init__(self, worker: Worker, presence: Presence, store: Store) -> None:
        self._worker = worker
        self._presence = presence
        self._store = store
        self._driver = Driver(store, time.sleep)
        self._stopped = Event()
        self._pid = os.getpid()
        self._thread = Thread(target=self._run, name="dirjobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Announce the worker, then keep it announced.

        Raises:
            WorkerIdInUse, ConfigurationError, StoreError: as `Presence.start`.
            BrokenOff: this worker was drained at once meanwhile.
        """
        try:
            # In mode sync this takes as long as a change takes to be seen everywhere.
            sleep = self._presence.orders.nap
            Driver(self._store, sleep).run(self._presence.start())
            self._thread.start()
        except BaseException:
            # A signal, most likely: nobody must take us for a live worker.
            self._stopped.set()
            with suppress(StoreError):
                self._driver.run(self._presence.end())
            self._store.close()
            raise

    def stop(self) -> None:
        """Give back what is still claimed, and say that this worker has ended."""
        if self._pid != os.getpid() or self._stopped.is_set():
            return  # a forked child has nothing of its parent's to end
        self._stopped.set()
        self._worker.leaving = True
        if self._thread.is_alive():
            self._thread.join()
        claims = self._worker.claims
        try:
            for path, asked in claims.ledger.in_state(State.HELD).items():
                self._give_back(Held(asked.worker, asked.job, path))
            self._driver.run(self._presence.end())
        except StoreError as error:
            log.warning(
                "could not say goodbye (%s); others take over when the lease is over", error
            )
        finally:
            self._store.close()

    def _give_back(self, held: Held) -> None:
        """Unless the store refuses; what is left under an ended id, the others put back.

        Raises:
            StoreError: the store can't be reached, so there is no use in going on.
        """
        try:
            self._driver.run(self._worker.release(held))
        except OUTAGE:
            raise
        except StoreError as error:
            log.warning("job %r could not be given back (%s)", held.job.name, error)

    def _run(self) -> None:
        silent = False
        took = 0.0
        while not self._stopped.wait(max(0.0, self._presence.claims.terms.heartbeat - took)):
            began = monotonic()
            try:
                self._driver.run(self._presence.beat())
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
            took = monotonic() - began
