"""`DirJobs`: the queue, as the user sees it."""

from __future__ import annotations

import io
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from dirjobs.admin import enqueue
from dirjobs.admin.inspect import Status, status
from dirjobs.admin.requeue import requeue
from dirjobs.errors import NotFound, StoreError
from dirjobs.heartbeat_thread import HeartbeatThread
from dirjobs.job import Job
from dirjobs.layers import with_retries
from dirjobs.layout import AGREEMENT, check_new_job, next_incarnation
from dirjobs.names import nonce
from dirjobs.policy import (
    DEFAULT_HEARTBEAT,
    DEFAULT_LEASE,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_PAUSE,
    DEFAULT_TIMEOUT,
    Filter,
    Policy,
    Settings,
    UnknownLag,
)
from dirjobs.protocol import attempts
from dirjobs.protocol.agreement import from_bytes
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import ClaimAborted, Control
from dirjobs.recovery.membership import Membership
from dirjobs.recovery.process import this_process
from dirjobs.registry import open_store
from dirjobs.store import Entry, Store
from dirjobs.worker import TRANSIENT_ERRORS, Worker, retry_through_outages

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
        self._settings = Settings(
            wid=wid,
            rnd_job=rnd_job,
            job_ext=job_ext,
            worker_sync=worker_sync,
            sync_time=sync_time,
            job_filter=job_filter,
            mode=mode,
            order=order,
            min_age=min_age,
            heartbeat=heartbeat,
            lease=lease,
            timeout=timeout,
            max_pause=max_pause,
            max_attempts=max_attempts,
        )
        self.store = open_store(jobsdir, storage_options, timeout=timeout)
        self._share = Share(with_retries(self.store))
        try:
            self._wish = self._policy()
            make_folders(self._share)
        except BaseException:
            self.store.close()  # nobody gets this object, so nobody else could
            raise
        self._lock = RLock()
        self._control = Control()
        self._pid = 0
        self._thread: HeartbeatThread | None = None
        self._set_up(wid)

    def _policy(self) -> Policy:
        """What the user asks for; where neither user nor store know how late listings are,
        what the queue's workers have agreed on."""
        try:
            return self._settings.policy(self.store.guarantees)
        except UnknownLag:
            try:
                recorded = from_bytes(self._share.read(AGREEMENT), Policy())
            except NotFound:
                recorded = None
            if recorded is None:
                raise
            return self._settings.with_mode(recorded.mode, recorded.sync_time)

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
                claim = self._worker.next()
            except TRANSIENT_ERRORS as error:
                claim = retry_through_outages(
                    self._worker.share, self._worker.next, error, self._control
                )
        except ClaimAborted:
            return None
        return None if claim is None else Job(QueueHandle(self), claim)

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
        check_new_job(name)
        if isinstance(content, os.PathLike):
            with Path(content).open("rb") as file:
                return self._add(name, file, os.fstat(file.fileno()).st_size)
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, bytes | bytearray | memoryview):
            return self._add(name, io.BytesIO(content), len(content))
        return self._add(name, content, None)

    def _add(self, name: str, source: BinaryIO, size: int | None) -> str:
        enqueue.add(self._worker.ending, name, source, size)
        return name

    def on_job_success(self, job: Job) -> None:
        """Move a job to ``02_done``; the older name for `Job.done`."""
        job.done()

    def on_job_failed(self, job: Job) -> None:
        """Move a job to ``99_failed``; the older name for `Job.failed`."""
        job.failed()

    # -- the queue ------------------------------------------------------------------------

    def status(self) -> Status:
        """How many jobs are where; five requests, six if a job ends meanwhile.

        Raises:
            StoreError: the folders can't be listed.
        """
        return status(self._share)

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
        return requeue(
            self._share,
            jobs,
            dead=dead,
            policy=self._wish,
            max_attempts=self._settings.max_attempts,
        )

    @property
    def mode(self) -> str:
        """How this worker makes sure of its jobs: ``trust``, ``verify`` or ``sync``."""
        return self._worker.me.policy.mode.value

    @property
    def decided(self) -> Counter[str]:
        """How often each rule of the claim protocol decided something, by rule."""
        return self._worker.me.decided

    def full_path(self, path: str) -> str:
        """A path inside the queue, in the spelling that the user gave."""
        return self.store.full_path(path)

    @contextmanager
    def runs_group(self, group: int) -> Iterator[None]:
        """While this lasts, a program runs in process group `group` (POSIX): the heartbeat
        names it, and a worker that died is not taken for gone while its program runs on."""
        incarnations = self._membership.incarnations
        incarnations.groups.add(group)
        with suppress(StoreError):  # the next heartbeat tells
            incarnations.tell(self._share)
        try:
            yield
        finally:
            incarnations.groups.discard(group)

    def drain(self, *, at_once: bool = False) -> None:
        """Take no other job: `next_and_lock` returns None from now on, also where it waits
        (for the end of a pause or an outage, or for files to get old enough; `at_once`: also
        in the middle of a claim).  May be called from a signal handler and any thread."""
        self._set_up_in_child()
        self._control.drain(at_once=at_once)

    @property
    def draining(self) -> bool:
        """Whether this worker takes no other job: by `drain`, or by an order in the queue
        (`dirjobs drain`), which is seen with the next heartbeat."""
        return self._control.draining and self._made_in == os.getpid()

    # -- life -----------------------------------------------------------------------------

    def _set_up(self, incarnation: str) -> None:
        """The parts of a worker: those that claim, those that end jobs, and the heartbeat's
        on a connection of its own; all know the same names."""
        settings, store, share = self._settings, self.store, self._share
        self._made_in = os.getpid()
        me = Me(incarnation, self._wish, store.guarantees)
        me.mode_not_requested = not settings.insists
        ending = Parts(share, me)
        beating = ending.over(Share(share.store))
        claiming = ending.over(Share(share.store, self._control.sleep_unless_aborted))
        self._membership = Membership(
            beating, this_process(), max_attempts=settings.max_attempts, control=self._control
        )
        candidates = Candidates(
            order=settings.picks,
            job_ext=settings.job_ext,
            job_filter=settings.job_filter,
            min_age=settings.min_age,
            name_problem=store.name_problem,
            full_path=store.full_path,
        )
        self._worker = Worker(
            claiming,
            candidates,
            self._membership,
            ending=ending,
            names_suffice=store.names_suffice,
        )

    def _set_up_in_child(self) -> None:
        if self._made_in != os.getpid():
            self._control = Control()
            self._set_up(next_incarnation(self.wid, nonce()))

    def _begin(self) -> None:
        """Become a worker: at the first job, and again in a forked child."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._set_up_in_child()
            # A connection of its own, so that a long transfer delays no heartbeat.
            self._membership.share.use(self._share.store.another())
            thread = HeartbeatThread(self._worker, self._membership)
            # Also when the program ends without close(); knows the thread only, so that a
            # forgotten queue can go.
            self._finalizer = weakref.finalize(self, thread.stop)
            thread.start()
            self._thread = thread
            self._pid = os.getpid()

    def close(self) -> None:
        """Give back what is still claimed, and say that this worker has ended.

        Using the queue afterwards is fine: it begins anew.
        """
        with self._lock:
            try:
                if self._thread is not None and self._pid == os.getpid():
                    self._finalizer()
                    self._thread, self._pid = None, 0
                    self._set_up(self.wid)
            finally:
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


class QueueHandle:
    """What a job asks of the queue that it was claimed from; see `dirjobs.job.Handle`.

    It keeps the queue alive as long as there is the job, and asks whichever worker the queue
    has now: a forked child, or a queue that was closed, has another one than the job's.
    """

    def __init__(self, queue: DirJobs) -> None:
        self._queue = queue

    def full_path(self, path: str) -> str:
        return self._queue.store.full_path(path)

    def local_path(self, path: str) -> str | None:
        return self._queue.store.local_path(path)

    def in_full(self, claim: Claim) -> Entry:
        return self._persist(lambda worker: worker.ending.look.in_full(claim.path, claim.job))

    def read(self, path: str) -> bytes:
        return self._persist(lambda worker: worker.ending.share.read(path))

    def download(self, path: str, target: BinaryIO) -> None:
        self._queue._share.store.download(path, target)

    def still_holds(self, claim: Claim) -> bool:
        return self._persist(lambda worker: worker.still_holds(claim))

    def finish(self, claim: Claim, folder: str, reason: str) -> None:
        if reason:
            attempts.note(self._queue._share, claim.job.name, claim.worker, reason)
        self._persist(lambda worker: worker.finish(claim, folder))

    def release(self, claim: Claim) -> None:
        self._persist(lambda worker: worker.release(claim))

    def _persist(self, call: Callable[[Worker], T]) -> T:
        """Do what may be repeated, through every outage of the store."""
        worker = self._queue._worker
        try:
            return call(worker)
        except TRANSIENT_ERRORS as error:
            share = self._queue._share
            return retry_through_outages(share, lambda: call(worker), error)
