"""`DirJobs`: the queue, as the user sees it."""

from __future__ import annotations

import io
import logging
import os
import platform
import stat
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

from msgspec.structs import replace

from dirjobs import threads
from dirjobs.admin import enqueue
from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.inspect import Status, status
from dirjobs.admin.requeue import requeue
from dirjobs.clock import utc
from dirjobs.errors import (
    TRANSIENT_ERRORS,
    ClaimLost,
    ConfigurationError,
    Denied,
    JobClosed,
    NotFound,
    StoreError,
)
from dirjobs.heartbeat_thread import HeartbeatThread
from dirjobs.job import Job
from dirjobs.layers import with_retries
from dirjobs.layout import AGREEMENT, FAILED, check_new_job, next_incarnation, too_long_to_claim
from dirjobs.names import nonce, problem_of_this_system
from dirjobs.policy import (
    DEFAULT_HEARTBEAT,
    DEFAULT_LEASE,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_PAUSE,
    DEFAULT_PATIENCE,
    DEFAULT_TIMEOUT,
    Filter,
    Policy,
    Settings,
    UnknownLag,
)
from dirjobs.protocol import attempts, content, journal, markers
from dirjobs.protocol.agreement import from_bytes
from dirjobs.protocol.candidates import Candidates, natural_key
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.folders import check_parent, follow_links, make_folders
from dirjobs.protocol.intents import State
from dirjobs.protocol.journal import Details, Journal, Record
from dirjobs.protocol.me import Me
from dirjobs.protocol.outage import Presence, SameQueue
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import ClaimAborted, Control
from dirjobs.recovery.membership import Membership
from dirjobs.recovery.process import this_process
from dirjobs.recovery.silence import Held, Silence
from dirjobs.redaction import redacted
from dirjobs.registry import open_store
from dirjobs.store import Entry, Store
from dirjobs.table import Table
from dirjobs.worker import Worker, retry_through_outages

if TYPE_CHECKING:
    from dirjobs.files.attempt import AttemptFiles
    from dirjobs.filesystem import QueueFileSystem

T = TypeVar("T")
log = logging.getLogger(__name__)

_SHORTEST_INTERVAL = 0.05
"""Seconds."""


@dataclass(eq=False)
class Generation:
    """What a `DirJobs` is in one process, until it is closed: one worker.

    Attributes:
        share: the queue, as all that end jobs see it.
        presence: whether the queue is there.
        worker: takes jobs and ends them.
        membership: its heartbeat.
        control: what it is told to do.
        pid: the process.
        thread: keeps the heartbeat; None until the first job is asked for.
        begun: whether the others know it, so that it may take jobs.
    """

    share: Share
    presence: Presence
    worker: Worker
    membership: Membership
    control: Control
    pid: int
    thread: HeartbeatThread | None = None
    begun: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it is this process's, and not that of the process which forked it."""
        return self.pid == threads.getpid()


class DirJobs:
    """A queue in a folder, and one worker of it.

    Safe to use from several threads, each with jobs of its own; a forked child goes on as
    a worker of its own, and leaves the jobs of its parent alone.  Use it as a context
    manager, or call `close` at the end: jobs still claimed are given back then (and when the
    program ends).

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
        patience: seconds for which a worker waits when its queue is away: when the folder is
            empty or another one, or everything is refused.  (For a server that can't be reached
            it waits without end.)
        create: make the queue if there is none.  Else a path or URL is refused where nothing is,
            and where something else than a queue is: a folder with ``00_waiting`` in it is one,
            and so is an empty one.  (A `Store` is taken as it is.)

    Raises:
        ConfigurationError: an argument is not right, or there is no such queue; the message says
            which and why.
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
        patience: float = DEFAULT_PATIENCE,
        create: bool = False,
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
            patience=patience,
        )
        is_named = isinstance(jobsdir, str | os.PathLike)
        self.store = markers.renaming(open_store(jobsdir, storage_options, timeout=timeout))
        del jobsdir, storage_options  # or a traceback with variables would show the password
        share = Share(with_retries(self.store))
        try:
            follow_links(self.store)
            self._wish = markers.check_policy(self.store, self._policy(share))
            if create:
                check_parent(self.store)
            make_folders(share, only_in_queues=is_named and not create)
            markers.require_conditions(self.store)
        except BaseException:
            self.store.close()  # nobody gets this object, so nobody else could
            raise
        self._lock = threads.RLock()
        _queues.add(self)
        self._home = threads.getpid()
        self._generation = self._new_generation()

    def _policy(self, share: Share) -> Policy:
        """What the user asks for; where neither user nor store know how late listings are,
        what the queue's workers have agreed on."""
        try:
            return self._settings.policy(self.store.guarantees)
        except UnknownLag:
            try:
                recorded = from_bytes(share.read(AGREEMENT), Policy())
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
            JobsRefused: jobs are waiting, and the store lets this worker have none of them.
            StoreError: the store refuses.
        """
        return self._next(self._begun())

    def look_for_job(self) -> Job | None:
        """As `next_and_lock`, for a worker that looks again and again: a look that finds nothing is
        one request.  Whether the folder that is empty is this queue's, the heartbeat sees."""
        return self._next(self._begun(), looks_again=True)

    def _next(self, generation: Generation, *, looks_again: bool = False) -> Job | None:
        """The next job, unless the generation is drained or closed."""
        worker = generation.worker
        ask = partial(worker.next, looks_again=looks_again)
        try:
            try:
                claim = ask()
            except TRANSIENT_ERRORS as error:
                claim = retry_through_outages(worker.share, ask, error, generation.control)
        except ClaimAborted:
            return None
        return None if claim is None else Job(QueueHandle(self, generation), claim)

    def silence(self) -> Silence | None:
        """Whether jobs that this worker would take are held by workers that may be dead.

        `next_and_lock` does not wait for them.  Ask again every now and then: they are given
        back as soon as the lease is over, or whoever holds them shows that it lives.

        Returns:
            how many, by whom, and in how many seconds it is clear; None if there are none.

        Raises:
            StoreError: the store refuses.
        """
        generation = self._current()
        if not generation.begun:
            return None
        worker = generation.worker

        def ask() -> Silence | None:
            return generation.membership.silence(worker.share, worker.candidates.wants)

        with suppress(ClaimAborted):
            try:
                return ask()
            except TRANSIENT_ERRORS as error:
                return retry_through_outages(worker.share, ask, error, generation.control)
        return None

    def __iter__(self) -> Iterator[Job]:
        """Jobs until the queue is empty or closed; each is meant for a ``with`` block."""
        generation = self._begun()
        while (job := self._next(generation)) is not None:
            yield job
            if not generation.is_here:
                generation = self._begun()

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

    def add_sweep(
        self,
        params: Mapping[str, object] | None = None,
        /,
        *,
        skip_existing: bool = False,
        **more: object,
    ) -> list[str]:
        """Add a job for each combination of the values of some parameters: the files, and the
        names, of `dirjobs add --param` with values that print the same.

            dj.add_sweep(lr=[0.1, 0.01], seed=range(20), skip_existing=True)

        Args:
            params: by name, one value or several: for names that are no words of Python, or that
                this method has arguments of.
            skip_existing: leave out jobs whose name is in use, as of a smaller sweep before.
            more: the same as `params`.

        Returns:
            the names of the jobs that were added.

        Raises:
            ConfigurationError: there are no parameters, or JSON doesn't know a value.
            JobExists: a name is in use; nothing was added.
            StoreError: some were not added; the message says how many were.
        """
        from dirjobs.sweep import adding, sources, values

        given = {**(params or {}), **more}
        if len(given) < len(params or {}) + len(more):
            twice = next(name for name in more if name in (params or {}))
            raise ConfigurationError(f"the parameter {twice!r} is given twice: leave one out.")
        if not given:
            raise ConfigurationError("there are no parameters: give such as lr=[0.1, 0.01].")
        batch = sources.from_parameters(values.axes_from(given))
        if not batch.names[0].endswith(self._settings.job_ext):
            log.warning(
                "%r takes only jobs whose names end with %r, and these do not: open the queue"
                " with job_ext='' to take them",
                self,
                self._settings.job_ext,
            )
        advice = "give the new ones other parameters, or skip_existing=True to leave them out"
        wanted = adding.names_to_add(self.share, batch, skip_existing, advice)
        return adding.add_all(self.share, batch, wanted, skip_existing)

    # -- the queue ------------------------------------------------------------------------

    def status(self) -> Status:
        """How many jobs are where; five requests, six if a job ends meanwhile.

        Raises:
            StoreError: the folders can't be listed.
        """
        return status(self.share)

    @property
    def fs(self) -> QueueFileSystem:
        """The queue's folder as a filesystem of fsspec, with the login of the queue's store: for
        pandas, pyarrow, xarray or zarr to read results.  It is not for claiming: it moves and
        removes nothing, and writes nothing among the jobs.

            pandas.read_csv(dj.fs.open("results/job1.json/w1/curve.csv"))
        """
        from dirjobs.filesystem import QueueFileSystem

        return QueueFileSystem(self.share)

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
            self.share,
            jobs,
            dead=dead,
            policy=self._wish,
            max_attempts=self._settings.max_attempts,
        )

    def retry(self, *jobs: str, failed: bool = False, done: bool = False) -> list[str]:
        """Let jobs wait again, as `dirjobs retry` does.

        Args:
            jobs: names, or patterns such as ``lr0.1*``, of failed jobs and parked copies.
            failed: all failed jobs, but for those that were cancelled.
            done: `jobs` are done, and are to be run once more.

        Returns:
            the names under which jobs wait now, sorted; those that are gone, wait or run already,
            or still change, are left alone.

        Raises:
            ConfigurationError: no job is named, or one of a name is not failed (or done).
            StoreError: what was done so far stays done.
        """
        from dirjobs.admin import retry

        names = _names(jobs)
        if failed and (names or done):
            raise ConfigurationError("retry() takes failed=True, or jobs and perhaps done=True.")
        if not failed and not names:
            raise ConfigurationError(
                "retry() wants names of jobs, or patterns such as 'lr0.1*', or failed=True."
            )
        share = self.share
        if done:
            places = retry.done_jobs(share, names)
        else:
            places = retry.failed_jobs(share, None if failed else names)
        waits = (name for _, name in retry.retry_each(share, places) if name is not None)
        return sorted(waits, key=natural_key)

    def cancel(self, *jobs: str) -> list[str]:
        """Move waiting and running jobs to ``99_failed``, as `dirjobs cancel` does: whoever runs
        one learns it by `ClaimLost`.

        Args:
            jobs: names, or patterns such as ``lr0.1*``.

        Returns:
            the names of the jobs that were cancelled, sorted; those that ended meanwhile are left
            alone.

        Raises:
            ConfigurationError: no job is named, or one of a name neither waits nor runs.
            StoreError: what was done so far stays done.
        """
        from dirjobs.admin import cancel

        names = _names(jobs)
        if not names:
            raise ConfigurationError("cancel() wants names of jobs, or patterns such as 'lr0.1*'.")
        places = cancel.unfinished(self.share, names)
        done = cancel.cancel_each(self.share, places)
        return sorted({place.job.name for place in done}, key=natural_key)

    def wait(
        self, timeout: float | None = None, *, progress: bool = True, interval: float = 5.0
    ) -> Status:
        """Wait until no job is waiting or running, also while the share can't be reached.  If
        nobody works, that is logged once.  Two requests for each look, and some more once a minute.

        Args:
            timeout: seconds; None waits for any time.
            progress: show a bar, on a terminal and in a notebook: tqdm's if that is installed.
            interval: seconds between two looks.

        Returns:
            how many jobs are where.

        Raises:
            TimeoutError: the time is over.
            StoreError: the store refuses.
        """
        from dirjobs.admin import wait

        audience = LOG
        if progress:
            from dirjobs.console.progress import bar

            audience = Audience(progress=bar)
        over = wait.wait(self.share, timeout, max(_SHORTEST_INTERVAL, interval), audience)
        found = self.status()
        if not over:
            raise TimeoutError(
                f"after {timeout:g} s {found.waiting:,} jobs are still waiting, and"
                f" {found.running:,} are running."
            )
        return found

    def results(
        self,
        *,
        state: str | None = None,
        where: str | None = None,
        sort: str | Sequence[str] = (),
        columns: str | Sequence[str] | None = None,
    ) -> Table:
        """The table of `dirjobs results`: a row for each job that has ended, with its state, its
        parameters, its result, and the seconds, the host and the time of its end.

        Args:
            state: ``done``, ``failed`` or ``cancelled``: only these jobs.
            where: a condition such as ``lr < 0.1 and seed == 3``.
            sort: columns to sort by; ``-loss``: the largest first.
            columns: only these.

        Returns:
            the rows; iterate over them, or call `Table.to_pandas` or `Table.to_arrow`.

        Raises:
            ConfigurationError: `where` is no condition, or there is no such column or state.
            StoreError: the store refuses.
        """
        from dirjobs.admin import results
        from dirjobs.admin.tables import Selection

        if state not in (None, *results.STATES):
            raise ConfigurationError(
                f"{state!r} is no state of a job that has ended: {', '.join(results.STATES)} are."
            )
        chosen = None if columns is None else _listed(columns)
        selection = Selection(where, _listed(sort), chosen, called="where=")
        rows = results.table(self.share, state)
        there = results.columns(rows)
        if rows:
            selection.check(there)
        return Table(selection.header(there), [*selection.rows(rows)])

    @property
    def held_by_others(self) -> Held | None:
        """What other workers held that seem to live, when `silence` looked last; None if
        nothing."""
        return self._current().membership.silent_holders.others

    @property
    def share(self) -> Share:
        """The queue as its worker sees it: for what belongs to its jobs, such as logs."""
        return self._current().share

    @property
    def left(self) -> int:
        """How many jobs wait, as far as this worker knows: at its latest look, less those that
        it has tried to claim since then."""
        return self._worker.candidates.left

    def store_time(self) -> float:
        """Seconds since the epoch by the share's clock, as far as that is known."""
        return self._worker.me.store_time()

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
            incarnations.tell(self.share)
        try:
            yield
        finally:
            incarnations.groups.discard(group)

    def offers_calls(self, slots: int) -> None:
        """This worker runs calls of `dirjobs.Executor`, so many at once: its heartbeat says so."""
        self._membership.incarnations.call_slots = slots

    def drain(self, *, at_once: bool = False) -> None:
        """Take no other job: `next_and_lock` returns None from now on, also where it waits
        (for the end of a pause or an outage, or for files to get old enough; `at_once`: also
        in the middle of a claim).  May be called from a signal handler and any thread."""
        self._current().control.drain(at_once=at_once)

    @property
    def draining(self) -> bool:
        """Whether this worker takes no other job: by `drain`, or by an order in the queue
        (`dirjobs drain`), which is seen with the next heartbeat."""
        generation = self._generation
        return generation.is_here and generation.control.draining

    # -- life -----------------------------------------------------------------------------

    def _new_generation(self, earlier: Generation | None = None) -> Generation:
        """The parts of a worker: those that claim, those that end jobs, and the heartbeat's
        on a connection of its own; all know the same names.

        Args:
            earlier: the one that is closed: if that was drained, so is the new one, and if it
                may have claimed anything, the new one goes by a name of its own.
        """
        settings, store = self._settings, self.store
        pid = threads.getpid()
        control = Control()
        control.draining = earlier is not None and earlier.control.draining
        presence = Presence(settings.patience)
        same = SameQueue(with_retries(store, control.gives_up), presence)
        share = Share(same, gives_up=control.gives_up)
        # The plain id is the parent's, which lives on.
        me = Me(
            self.wid if pid == self._home else next_incarnation(self.wid, nonce()),
            self._wish,
            store.guarantees,
        )
        me.mode_not_requested = not settings.insists
        ending = Parts(share, me, journal=Journal(me, appends=store.appends))
        beating = ending.over(Share(share.store))
        claiming = ending.over(Share(share.store, control.sleep_unless_aborted))
        membership = Membership(
            beating,
            this_process(),
            max_attempts=settings.max_attempts,
            control=control,
            earlier=None if earlier is None else earlier.membership,
        )
        wid = self.wid  # what names `self` for good is never collected
        candidates = Candidates(
            order=settings.picks,
            job_ext=settings.job_ext,
            job_filter=settings.job_filter,
            min_age=settings.min_age,
            name_problem=lambda name: (
                store.name_problem(name) or _problem_here(name) or too_long_to_claim(wid, name)
            ),
            full_path=store.full_path,
        )
        worker = Worker(
            claiming, candidates, membership, ending=ending, names_suffice=store.names_suffice
        )
        return Generation(share, presence, worker, membership, control, pid)

    def _current(self) -> Generation:
        """This process's generation; a forked child gets one of its own."""
        generation = self._generation
        if not generation.is_here:
            with self._lock:
                generation = self._generation
                if not generation.is_here:
                    generation = self._generation = self._new_generation()
        return generation

    @property
    def _worker(self) -> Worker:
        return self._current().worker

    @property
    def _membership(self) -> Membership:
        return self._current().membership

    def _begun(self) -> Generation:
        """This process's generation, which has become a worker (at the first job, and again
        in a forked child) unless it is drained."""
        generation = self._current()
        if generation.begun or generation.control.draining:
            return generation
        with self._lock, suppress(ClaimAborted):
            generation = self._current()
            if not generation.begun and not generation.control.draining:
                self._begin(generation)
        return generation

    def _begin(self, generation: Generation) -> None:
        thread = generation.thread
        if thread is None or not thread.is_beating:  # it beats if a signal came after its start
            thread = generation.thread = HeartbeatThread(generation.worker, generation.membership)
            # A connection of its own, so that a long transfer delays no heartbeat.
            beating = with_retries(self.store.another(), thread.hurries)
            generation.membership.use(SameQueue(beating, generation.presence))
            generation.presence.beginning = True
            # Knows the thread only, so that a forgotten queue can go.
            self._finalizer = weakref.finalize(self, thread.tell_to_end)
            self._finalizer.atexit = False  # the thread itself sees to that
            thread.start()
        membership = generation.membership
        own_file = membership.incarnations.all()[0].path
        intents = generation.worker.intents
        generation.presence.adopt(
            membership.agreement.queue_id,
            own_file,
            lambda: intents.in_state(State.HELD, State.ENDING),
        )
        generation.begun = True

    def close(self) -> None:
        """Give back what is still claimed, and say that this worker has ended.

        Other threads get no more jobs from the loops and calls that they are in; a job that
        one of them is ending just now is ended, and whoever ends another one later gets
        `ClaimLost`.  Using the queue afterwards is fine: it begins anew.
        """
        with self._lock:
            generation = self._generation
            try:
                if generation.thread is not None and generation.is_here:
                    self._generation = self._new_generation(generation)
                    self._finalizer.detach()
                    generation.thread.stop()
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

    def _repr_html_(self) -> str:
        """What a notebook shows: counts, workers, the latest failures, as `dirjobs status`."""
        from dirjobs.admin.inspect import Inspector
        from dirjobs.console.html import overview_as_html, sentence_as_html

        url = redacted(self.store.url)
        try:
            found = Inspector(this_process()).look(self.share)
        except StoreError as error:
            return sentence_as_html(f"{url} can't be looked at now: {redacted(str(error))}")
        return overview_as_html(found, url)

    def __repr__(self) -> str:
        return f"DirJobs({self.store.url!r}, wid={self.wid!r}, mode={self.mode!r})"


_queues: weakref.WeakSet[DirJobs] = weakref.WeakSet()


def _names(jobs: tuple[str, ...]) -> tuple[str, ...]:
    """Names of jobs, or patterns.

    Raises:
        ConfigurationError: something else is among them.
    """
    for name in jobs:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{name!r:.200} is no name of a job: give texts, and a list of them as *names."
            )
    return jobs


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else [*names]


def _fresh_locks() -> None:
    """In a forked child: the thread that held a lock at the fork doesn't exist here."""
    for queue in _queues:
        queue._lock = threads.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


def _problem_here(name: str) -> str | None:
    """Why this machine leaves a job to others that the store could let it have; None if it need
    not."""
    problem = problem_of_this_system(name)  # the store says what is unsafe
    return problem and f"{problem}, so it is left to workers on other systems"


class QueueHandle:
    """What a job asks of the queue that it was claimed from; see `dirjobs.job.Handle`.

    It keeps the queue alive as long as there is the job, and lets only the generation that
    claimed a job end it: a forked child, or the queue after it was closed, has another one.
    """

    def __init__(self, queue: DirJobs, generation: Generation) -> None:
        self._queue = queue
        self._generation = generation

    @property
    def is_here(self) -> bool:
        return self._generation.is_here

    @property
    def _journal(self) -> Journal:
        return self._generation.worker.ending.journal

    def full_path(self, path: str) -> str:
        return self._queue.store.full_path(path)

    def local_path(self, path: str) -> str | None:
        return self._queue.store.local_path(path)

    def require_file(self, path: str) -> None:
        local = self._queue.store.local_path(path)
        if local is None:
            return  # what a server gives is no link any more
        try:
            mode = os.lstat(local).st_mode
        except OSError:
            return  # it is gone: whoever opens it is told
        if not stat.S_ISREG(mode):
            raise Denied(f"{local!r}: it is not a regular file, though it was one when listed")

    def in_full(self, claim: Claim) -> Entry:
        return self._persist(lambda worker: worker.ending.look.in_full(claim.path, claim.job))

    def read(self, claim: Claim) -> bytes:
        def fetch(worker: Worker) -> bytes | content.OtherSize:
            target = io.BytesIO()
            try:
                content.fetch(worker.ending.share, worker.ending.look, claim, target)
            except content.OtherSize as error:
                return error  # it is no outage: it may stay so
            return target.getvalue()

        fetched = self._persist(fetch)
        if isinstance(fetched, content.OtherSize):
            raise fetched
        return fetched

    def download(self, claim: Claim, target: BinaryIO) -> None:
        content.fetch(self._generation.share, self._generation.worker.ending.look, claim, target)

    def still_holds(self, claim: Claim) -> bool:
        if not self.is_here:
            return False
        return self._persist(lambda worker: worker.still_holds(claim))

    def finish(self, claim: Claim, folder: str, reason: str, details: Details) -> None:
        with self._end_alone(claim):
            if reason:
                attempts.note(self._generation.share, claim.job.name, claim.worker, reason)
            end = journal.FAILED if folder == FAILED else journal.DONE
            record = self._record(claim, end, reason, details)
            self._note(claim, record)
            try:
                name = self._persist(lambda worker: worker.finish(claim, folder))
            except ClaimLost:
                self._settle(claim, record, None)
                raise
            self._settle(claim, record, name)

    def release(self, claim: Claim, details: Details) -> bool:
        with suppress(ClaimLost), self._end_alone(claim):
            record = self._record(claim, journal.GIVEN_BACK, "", details)
            came_back = self._persist(lambda worker: worker.release(claim))
            try:
                self._journal.note(
                    self._generation.share, claim.path, replace(record, lost=not came_back)
                )
            except StoreError as error:
                log.info("that job %r was given back is not recorded (%s)", record.job, error)
            self._journal.forget(claim.path)
            return came_back
        return False

    def files(self, claim: Claim, details: Details) -> AttemptFiles:
        # Most jobs of programs in Python have none.
        from dirjobs.files.attempt import AttemptFiles

        generation = self._generation
        me, membership = generation.worker.me, generation.membership
        held = membership.throughput.held_for(claim.path, generation.share.now())
        return AttemptFiles(
            generation.share,
            claim,
            details,
            queue_id=membership.agreement.queue_id,
            began=me.store_time() - held,
            still_holds=lambda: self.still_holds(claim),
            download=lambda target: self.download(claim, target),
            local_path=self.local_path(claim.path),
        )

    def refuse_elsewhere(self, claim: Claim) -> None:
        if not self.is_here:
            raise JobClosed(
                f"job {claim.job.name!r} is held by process {self._generation.pid}, which forked"
                " this one: end it there."
            )

    def _record(self, claim: Claim, end: str, reason: str, details: Details) -> Record:
        """The record of an attempt that ends now; of one whose end was asked for before, the
        times of then."""
        generation = self._generation
        earlier = self._journal.record_of(claim.path)
        if earlier is not None:
            return replace(earlier, end=end, reason=reason)
        held = generation.membership.throughput.held_for(claim.path, generation.share.now())
        ended = generation.worker.me.store_time()
        return Record.of(
            details,
            reason,
            job=claim.job.name,
            worker=claim.worker,
            host=platform.node(),
            started=utc(ended - held),
            ended=utc(ended),
            end=end,
            seconds=round(held if details.seconds is None else details.seconds, 3),
        )

    def _note(self, claim: Claim, record: Record) -> None:
        """Write a record through every outage."""
        generation = self._generation
        self._persist(lambda _: self._journal.note(generation.share, claim.path, record))

    def _settle(self, claim: Claim, record: Record, name: str | None) -> None:
        """Note, through every outage, what came of the move that a record told of."""
        share = self._generation.share
        self._persist(lambda _: self._journal.settle(share, claim.path, record, name))

    @contextmanager
    def _end_alone(self, claim: Claim) -> Iterator[None]:
        """While this lasts, nobody else of this worker ends the claim."""
        self.refuse_elsewhere(claim)
        with self._generation.worker.intents.end_alone(claim.path):
            yield

    def _persist(self, call: Callable[[Worker], T]) -> T:
        """Do what may be repeated, through every outage of the store."""
        worker = self._generation.worker
        try:
            return call(worker)
        except TRANSIENT_ERRORS as error:
            share = self._generation.share
            return retry_through_outages(share, lambda: call(worker), error)
