"""`DirJobs`: the queue, as the user sees it."""

from __future__ import annotations

import io
import os
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, TypeVarTuple

from dirjobs import layout
from dirjobs.admin import enqueue
from dirjobs.admin.requeue import requeue
from dirjobs.admin.status import Status, status
from dirjobs.errors import StoreError
from dirjobs.heartbeat_thread import Pulse
from dirjobs.job import Job
from dirjobs.layers import patient
from dirjobs.policy import DEFAULT_HEARTBEAT, DEFAULT_LEASE, DEFAULT_MAX_PAUSE, DEFAULT_TIMEOUT
from dirjobs.process import this_process
from dirjobs.protocol import attempts
from dirjobs.protocol.candidates import Waiting
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Driver, Steps
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.give_back import Held
from dirjobs.recovery.control import BrokenOff, Orders
from dirjobs.recovery.membership import Presence
from dirjobs.recovery.requeue import DEFAULT_MAX_ATTEMPTS
from dirjobs.registry import open_store
from dirjobs.settings import Filter, Settings, whole
from dirjobs.store import Store
from dirjobs.worker import OUTAGE, Worker, through_outages

Args = TypeVarTuple("Args")
T = TypeVar("T")


class DirJobs:
    """A queue in a folder, and one worker of it.

    Safe to use from several threads, each with jobs of its own; a forked child goes on as
    a worker of its own.  Use it as a context manager, or call `close` at the end: jobs
    still claimed are given back then (and when the program ends).

    Args:
        jobsdir: a path, a URL, or a `Store`.
        wid: this worker's id: letters, digits, ``_`` and ``-``; unique in the queue.
        rnd_job: take the jobs in random order.
        job_ext: take only files whose names end with this; ``""`` takes every file.
        worker_sync: True where listings lag behind (mounts, synced folders): wait for
            `sync_time` twice before a job is started.  None and False: what the store
            warrants; False also takes back an earlier True once no other worker lives.
        sync_time: seconds; must be longer than a change takes to be seen everywhere.
        job_filter: ``f(path, name)``, True for the jobs to take.
        mode: ``"trust"``, ``"verify"`` or ``"sync"`` instead of `worker_sync`.
        order: ``"natural"`` (``job2`` before ``job10``), ``"oldest"`` or ``"random"``.
        min_age: seconds that a file must stay unchanged before it is taken; for files
            that people copy in by hand. Such files are waited for, but not those that
            still change when they have been watched for five times as long.
        storage_options: settings and credentials for the store.
        heartbeat: seconds between two signs of life.
        lease: seconds without one after which a worker is taken for dead.
        timeout: seconds, the longest that one request to the store may take.
        max_pause: seconds, the longest that a machine may stand still and go on.
        max_attempts: how many workers may die at a job before it counts as failed.

    Raises:
        ConfigurationError: an argument is not right; the message says which and why.
        StoreError: the folders can't be used.
    """

    def __init__(
        self,
        jobsdir: str | os.PathLike[str] | Store,
        wid: str = "w1",
        rnd_job: bool = False,
        job_ext: str = ".txt",
        worker_sync: bool | None = None,
        sync_time: float | None = None,
        job_filter: Filter | None = None,
        *,
        mode: str | None = None,
        order: str | None = None,
        min_age: float = 0.0,
        storage_options: Mapping[str, object] | None = None,
        heartbeat: float = DEFAULT_HEARTBEAT,
        lease: float = DEFAULT_LEASE,
        timeout: float = DEFAULT_TIMEOUT,
        max_pause: float = DEFAULT_MAX_PAUSE,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> None:
        self._max_attempts = whole("max_attempts", max_attempts)
        self._settings = Settings(
            wid, rnd_job, job_ext, worker_sync, sync_time, job_filter, mode, order, min_age,
            heartbeat, lease, timeout, max_pause,
        )  # fmt: skip
        self.store = open_store(jobsdir, storage_options, timeout=timeout)
        self._wish = self._settings.terms(self.store.guarantees)
        self._patient = patient(self.store)
        self._driver = Driver(self._patient, time.sleep)
        try:
            self._driver.run(make_folders())
        except BaseException:
            self.store.close()  # nobody gets this object, so nobody else could
            raise
        self._lock = RLock()
        self._orders = Orders()
        self._pid = 0
        self._pulse: Pulse | None = None
        self._set_up(wid)

    @property
    def wid(self) -> str:
        """This worker's id."""
        return self._settings.wid

    # -- jobs -----------------------------------------------------------------------------

    def next_and_lock(self) -> Job | None:
        """Claim the next job.

        In modes trust and verify this takes some requests to the store, in mode sync two
        times `sync_time`.  While the store can't be reached, or the queue is paused, it waits.

        Returns:
            the job, or None when nothing is waiting or this worker is drained.

        Raises:
            WorkerIdInUse: another live worker has the same id.
            ConfigurationError: `job_filter` raised, or the workers disagree about the mode.
            StoreError: the store refuses.
        """
        try:
            if self._pid != os.getpid():
                if self.draining:
                    return None
                self._begin()
            try:
                held = self._claiming.run(self._worker.next())
            except OUTAGE as error:
                held = self._claiming.run(through_outages(self._worker.next, error, self._orders))
        except BrokenOff:
            return None
        return None if held is None else Job(self, held)

    def __iter__(self) -> Iterator[Job]:
        """Jobs until the queue is empty; each is meant for a ``with`` block."""
        while (job := self.next_and_lock()) is not None:
            yield job

    def add(self, name: str, content: bytes | str | BinaryIO | os.PathLike[str] = b"") -> str:
        """Put a new job into the queue, whole or not at all.

        Args:
            name: the job's file name; it must work on every backend.
            content: bytes, text (stored as UTF-8), an open binary file, or the path of a
                file (a `pathlib.Path`).

        Returns:
            the name.

        Raises:
            InvalidName: some backend could not carry the name; the message says why.
            JobExists: the queue has a job of that name, in whatever folder.
            StoreError: the job was not added, or (AmbiguousResult) it is not known.
        """
        layout.check_new_job(name)
        if isinstance(content, os.PathLike):
            with Path(content).open("rb") as file:
                return self._add(name, file, os.fstat(file.fileno()).st_size)
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, bytes | bytearray | memoryview):
            return self._add(name, io.BytesIO(content), len(content))
        return self._add(name, content, None)

    def _add(self, name: str, source: BinaryIO, size: int | None) -> str:
        self._driver.run(enqueue.add(self._claims, name, source, size))
        return name

    def on_job_success(self, job: Job) -> None:
        """Move a job to ``02_done``; the older name for `Job.done`."""
        job.done()

    def on_job_failed(self, job: Job) -> None:
        """Move a job to ``99_failed``; the older name for `Job.failed`."""
        job.failed()

    # -- what jobs do to the queue ----------------------------------------------------------

    def _finish(self, held: Held, folder: str, reason: str = "") -> None:
        if reason:
            self._driver.run(attempts.note(held.job.name, held.worker, reason))
        self._persist(self._worker.finish, held, folder)

    def _release(self, held: Held) -> None:
        self._persist(self._worker.release, held)

    def _persist(self, steps: Callable[[*Args], Steps[T]], *args: *Args) -> T:
        """Do what may be repeated, through every outage of the store."""
        try:
            return self._driver.run(steps(*args))
        except OUTAGE as error:
            return self._driver.run(through_outages(partial(steps, *args), error))

    # -- the queue ------------------------------------------------------------------------

    def status(self) -> Status:
        """How many jobs are where; five requests, six if a job ends meanwhile.

        Raises:
            StoreError: the folders can't be listed.
        """
        return self._driver.run(status())

    def requeue(self, *jobs: str, dead: bool = False) -> list[str]:
        """Give running jobs back to ``00_waiting``, at once.

        Args:
            jobs: names, whoever holds them; a worker that is alive gets `ClaimLost` when
                it ends such a job, and somebody else starts it again.
            dead: also the jobs of dead or ended workers; so it is if no job is named.
                Dead are those that provably are (on this machine), and those without a
                sign of life for two leases, and for two heartbeats more that are waited
                for if they have jobs: right after an outage everybody looks dead.

        Returns:
            the names of the jobs given back, or given up because too many workers died.

        Raises:
            StoreError: what was done so far stays done; call it again.
        """
        claims = Claims(f"requeue-{layout.nonce()}", self._wish, self.store.guarantees)
        visitor = Presence(claims, this_process(), max_attempts=self._max_attempts)
        return self._driver.run(requeue(visitor, jobs, dead=dead))

    @property
    def mode(self) -> str:
        """How this worker makes sure of its jobs: ``trust``, ``verify`` or ``sync``."""
        return self._claims.terms.mode.value

    @property
    def decided(self) -> Counter[str]:
        """How often each rule of the claim protocol decided something, by rule."""
        return self._claims.decided

    def full_path(self, path: str) -> str:
        """A path inside the queue, in the spelling that the user gave."""
        return self.store.full_path(path)

    @contextmanager
    def runs_group(self, group: int) -> Iterator[None]:
        """While this lasts, a program runs in process group `group` (POSIX): the heartbeat
        names it, and a worker that died is not taken for gone while its program runs on."""
        groups = self._presence.groups
        groups.add(group)
        with suppress(StoreError):  # the next heartbeat tells
            self._driver.run(self._presence.tell())
        try:
            yield
        finally:
            groups.discard(group)

    def drain(self, *, at_once: bool = False) -> None:
        """Take no other job: `next_and_lock` returns None from now on, also where it waits
        (for the end of a pause or an outage, or for files to get old enough; `at_once`: also
        in the middle of a claim).  May be called from a signal handler and any thread."""
        self._set_up_in_child()
        self._orders.drain(at_once=at_once)

    @property
    def draining(self) -> bool:
        """Whether this worker takes no other job: by `drain`, or by an order in the queue
        (`dirjobs drain`), which is seen with the next heartbeat."""
        return self._orders.draining and self._made_in == os.getpid()

    # -- life -----------------------------------------------------------------------------

    def _set_up(self, incarnation: str) -> None:
        settings, store = self._settings, self.store
        self._claims = Claims(incarnation, self._wish, store.guarantees)
        self._made_in = os.getpid()
        most, insists = self._max_attempts, settings.insists
        self._presence = Presence(
            self._claims, this_process(), insists=insists, max_attempts=most, orders=self._orders
        )
        waiting = Waiting(
            order=settings.picks,
            job_ext=settings.job_ext,
            job_filter=settings.job_filter,
            min_age=settings.min_age,
            name_problem=store.name_problem,
            full_path=store.full_path,
        )
        suffice = store.names_suffice
        self._worker = Worker(self._claims, waiting, self._presence, names_suffice=suffice)
        self._claiming = Driver(self._patient, self._orders.nap)

    def _set_up_in_child(self) -> None:
        if self._made_in != os.getpid():
            self._orders = Orders()
            self._set_up(layout.later_life(self.wid, layout.nonce()))

    def _begin(self) -> None:
        """Become a worker: at the first job, and again in a forked child."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._set_up_in_child()
            pulse = Pulse(self._worker, self._presence, self._patient.another())
            # Also when the program ends without close(); knows the pulse only, so that a
            # forgotten queue can go.
            self._finalizer = weakref.finalize(self, pulse.stop)
            pulse.start()
            self._pulse = pulse
            self._pid = os.getpid()

    def close(self) -> None:
        """Give back what is still claimed, and say that this worker has ended.

        Using the queue afterwards is fine: it begins anew.
        """
        with self._lock:
            if self._pulse is not None and self._pid == os.getpid():
                self._finalizer()
                self._pulse, self._pid = None, 0
                self._set_up(self.wid)
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DirJobs({self.store.url!r}, wid={self.wid!r}, mode={self.mode!r})"
