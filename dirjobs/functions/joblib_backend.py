"""``joblib.parallel_config(backend="dirjobs", url=...)``: joblib's calls run where workers are."""

from __future__ import annotations

import concurrent.futures
import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock
from typing import Any, NamedTuple

from joblib._parallel_backends import ParallelBackendBase, SequentialBackend

from dirjobs.errors import ConfigurationError
from dirjobs.functions.calls import name_of
from dirjobs.functions.executor import Executor
from dirjobs.functions.future import Future
from dirjobs.redaction import URL_VARIABLE

_BATCH, _BATCH_ON_A_DISK = 5.0, 1.0
"""Seconds that a batch of calls is to take: many times what its job costs."""
_GROWTH = 100
"""A batch has at most so many times as many calls as the largest that was measured."""
_OPTIONS = frozenset(
    ["url", "max_workers", "key_file", "signed", "keep", "create", "storage_options", "poll"]
)
"""What `joblib.Parallel` may be given for us; its other options are joblib's own."""
_LITTLE = 0.2
"""A batch that takes less than this part of what a job is to take may go with others."""


class DirjobsBackend(ParallelBackendBase):  # type: ignore[misc]
    """Runs the calls of `joblib.Parallel` as jobs of a queue.

    Calls that take little time go in batches, each of which is a job: by how long calls of
    earlier batches took where they ran, without what the way there and back takes.

    Args:
        url: the queue: a path or a URL; by default what ``DIRJOBS_URL`` names.
        executor: one that is there already, instead of `url` and `options`.
        options: as of `dirjobs.Executor`.
    """

    supports_retrieve_callback = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level, inner_max_num_threads)
        self._options = {"url": url, **options}
        self._executor = executor
        self._is_ours = False
        """Whether the executor was made for one `joblib.Parallel` alone."""
        self._lock = RLock()
        self._held: list[_Batch] = []
        """Batches that are not added yet."""
        self._jobs: set[Future] = set()
        """What has been added and has not ended."""
        self._n_jobs = 1
        self._largest = 1
        self._seconds: float | None = None
        """That one call takes, so far as is known."""

    @property
    def executor(self) -> Executor:
        """Runs the calls.

        Raises:
            ConfigurationError: there is no queue, or an option is not right.
        """
        if self._executor is None:
            options = {**self._options}
            place = options.pop("url") or os.environ.get(URL_VARIABLE)
            if not place:
                raise ConfigurationError(
                    "say where the queue is: joblib.parallel_config(backend='dirjobs', url=...),"
                    f" or set {URL_VARIABLE}."
                )
            self._executor = Executor(place, **options)
        return self._executor

    @property
    def _batch_seconds(self) -> float:
        """That a job is to take, so far as that can be said."""
        return _BATCH_ON_A_DISK if self.executor.store.names_suffice else _BATCH

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Take over what `joblib.Parallel` was given.

        Raises:
            ConfigurationError: as `executor`.
        """
        self.parallel = parallel
        ours = {name: value for name, value in options.items() if name in _OPTIONS}
        if ours:
            self._options |= ours
            self._is_ours = self._executor is None
        return self.effective_n_jobs(n_jobs)

    def terminate(self) -> None:
        """`joblib.Parallel` has ended."""
        if self._is_ours and self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def start_call(self) -> None:
        """Other calls take other times."""
        self._largest, self._seconds = 1, None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once; for -1 as many as there are slots of workers, and two at
        least: workers may come yet."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            self._n_jobs = n_jobs
        else:
            slots = self.executor.slots()
            # Of one joblib would run all calls in this process.
            self._n_jobs = max(2, slots + 1 + (-1 if n_jobs is None else n_jobs))
        return self._n_jobs

    def submit(
        self, func: Any, callback: Callable[[concurrent.futures.Future[Any]], object] | None = None
    ) -> concurrent.futures.Future[Any]:
        """Add a batch of calls as one job, or, where it takes little time and all slots have
        something to do, with what is submitted until one of them has not."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if callback is not None:
            future.add_done_callback(callback)
        with self._lock:
            self._held.append(_Batch(func, future))
        self._send()
        return future

    def _send(self) -> None:
        """Add what is held back, so far as there is a reason to."""
        while True:
            with self._lock:
                batches = self._next()
                if not batches:
                    return
                job: Future | None
                name = _name_of(batches[0].calls)
                calls = [one.calls for one in batches]
                try:
                    job = self.executor.submit_as(name, sum(map(len, calls)), _run, calls)
                except (RuntimeError, OSError) as error:  # shut down, or no thread starts
                    job, refusal = None, error
                else:
                    self._jobs.add(job)
            if job is not None:
                job.add_done_callback(partial(_tell, weakref.ref(self), batches))
                continue
            for one in batches:
                if one.future.set_running_or_notify_cancel():
                    one.future.set_exception(refusal)

    def _next(self) -> list[_Batch]:
        """The batches of the next job; none if they may wait."""
        held, idle = self._held, self._n_jobs - len(self._jobs)
        if not held:
            return []
        if self._seconds is None:
            return [held.pop(0)]
        left = self._batch_seconds - len(held[0].calls) * self._seconds
        if idle <= 0:
            is_little = left > self._batch_seconds * (1 - _LITTLE)
            return [] if is_little else [held.pop(0)]
        found = [held.pop(0)]
        for _ in range(len(held) // idle):  # so that each slot gets some
            left -= len(held[0].calls) * self._seconds
            if left < 0:
                break
            found.append(held.pop(0))
        return found

    def measure(self, job: Future, calls: int) -> None:
        """A job with so many calls has ended."""
        if job.seconds is None or job.cancelled():
            return
        with self._lock:
            # What a job costs beside its calls weighs less in a large one.
            if self._seconds is None or calls >= self._largest:
                self._seconds = job.seconds / calls
            self._largest = max(self._largest, calls)

    def replace(self, job: Future) -> None:
        """A job has ended, and joblib has submitted what comes next.  It is added when all jobs
        that were seen to have ended are replaced: then what takes little time may go together."""
        executor = self._executor
        if executor is None:  # `joblib.Parallel` has ended meanwhile
            self._make_room(job)
        else:
            executor.call_after_look(partial(self._make_room, job))

    def _make_room(self, job: Future) -> None:
        with self._lock:
            self._jobs.discard(job)
        self._send()

    def retrieve_result_callback(self, out: concurrent.futures.Future[Any]) -> Any:
        """The values of a batch."""
        return out.result()

    def compute_batch_size(self) -> int:
        """How many calls the next job is to have."""
        if self._seconds is None:
            return 1
        wanted = self._batch_seconds
        return max(1, min(int(wanted / max(self._seconds, 1e-6)), _GROWTH * self._largest))

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """What joblib measures has the way there and back in it; see `compute_batch_size`."""

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002
        """Cancel what no worker has begun."""
        with self._lock:
            held, self._held = self._held, []
            jobs = list(self._jobs)
        for batch in held:
            batch.future.cancel()
        for job in jobs:
            job.cancel()

    def get_nested_backend(self) -> tuple[Any, None]:
        """A worker's slot runs its calls one after the other, what is parallel in them too."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


class _Batch(NamedTuple):
    """A batch that joblib has submitted.

    Attributes:
        calls: joblib's own object: it is called for a list of values.
        future: what joblib was given for it.
    """

    calls: Any
    future: concurrent.futures.Future[Any]


def _run(batches: Sequence[Callable[[], list[Any]]]) -> list[list[Any]]:
    """Where the workers are: the values of each batch."""
    return [batch() for batch in batches]


def _tell(
    backend: Callable[[], DirjobsBackend | None],
    batches: Sequence[_Batch],
    job: concurrent.futures.Future[Any],
) -> None:
    """Tell joblib what came of the batches of a job.

    Args:
        backend: gives whose job it was, as long as that is there.
    """
    assert isinstance(job, Future)
    owner = backend()
    if owner is not None:
        owner.measure(job, sum(len(batch.calls) for batch in batches))
    for number, batch in enumerate(batches):
        if job.cancelled():
            batch.future.cancel()
        if not batch.future.set_running_or_notify_cancel():
            continue  # joblib wants it no more
        if (error := job.exception()) is not None:
            batch.future.set_exception(error)
        else:
            batch.future.set_result(job.result()[number])
    if owner is not None:
        owner.replace(job)


def _name_of(batch: Any) -> str:
    try:
        function = batch.items[0][0]
    except (AttributeError, IndexError, TypeError):  # another joblib's batch
        return "batch"
    function = getattr(function, "function", function)  # scikit-learn's _FuncWrapper
    return name_of(function)
