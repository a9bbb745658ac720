"""`Executor`: functions that run wherever workers reach the share."""

from __future__ import annotations

import concurrent.futures
import io
import itertools
import logging
import os
import re
import secrets
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import Condition, Thread
from types import TracebackType
from typing import Any

from dirjobs import threads
from dirjobs.admin import enqueue, history
from dirjobs.admin.cancel import cancel
from dirjobs.admin.inspect import Inspector
from dirjobs.admin.logs import logs_of
from dirjobs.admin.retry import retry
from dirjobs.admin.signatures import Signatures
from dirjobs.errors import TRANSIENT_ERRORS, ConfigurationError, JobExists, NotFound, StoreError
from dirjobs.functions.arguments import Uploads, digest_of
from dirjobs.functions.calls import NotACall, Packed, Raised, Returned, name_of, pack
from dirjobs.functions.collector import Collector, Ended, Found
from dirjobs.functions.future import CallFailed, Future, RemoteTraceback
from dirjobs.functions.identity import identity
from dirjobs.functions.local_workers import LocalWorkers
from dirjobs.layers import with_retries
from dirjobs.layout import DONE, FAILED, RUNNING, WAITING, WORKERS, JobFile
from dirjobs.names import nonce
from dirjobs.policy import DEFAULT_TIMEOUT, cautious
from dirjobs.protocol import markers
from dirjobs.protocol.folders import check_parent, follow_links, make_folders
from dirjobs.protocol.intents import Intents
from dirjobs.protocol.journal import CANCELLED
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import this_process
from dirjobs.registry import open_store
from dirjobs.signing import this_machines_key
from dirjobs.store import Entry, Store

log = logging.getLogger(__name__)

POLL = 5.0
"""Seconds between two looks at a share where nothing happens."""
_FIRST_PAUSE, _FIRST_PAUSE_ON_A_DISK, _POLL_ON_A_DISK = 0.3, 0.005, 0.1
_GROWTH = 1.5
_AFTER_AN_ERROR, _LONGEST_PAUSE = 1.0, 60.0
_EVERYWHERE, _EVERYWHERE_ON_A_DISK = 15.0, 0.5
"""Seconds between two looks at all folders."""
_KNOWN_FOR = 60.0
"""Seconds for which it is known which calls are in the queue: another program may add some."""
_NOBODY = 30.0
"""Seconds without news after which it is told that nobody runs calls."""
_SENDERS = 4
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_DIGITS = 16
_LONGEST_FUNCTION = 60


class _Waiting:
    """Calls of one program that have not ended, and what its threads wait for."""

    def __init__(self) -> None:
        self.changed = Condition(threads.Lock())
        self.to_send: deque[_Call] = deque()
        self.calls: dict[str, _Call] = {}
        """All that have not ended, by job."""
        self.senders = 0
        self.sending = 0
        self.closing = False
        self.news = False
        """Calls were added since the last look."""


class _Call:
    """One call that has not ended."""

    def __init__(self, job: str, packed: Packed | None, future: Future) -> None:
        self.job = job
        self.packed = packed
        """None as soon as it is on the share."""
        self.was_there = False
        """Whether it was there already, and may have ended before."""
        self.futures = [future]
        self.was_done = False
        """Whether it had ended well before."""
        self.is_being_sent = False


class Executor(concurrent.futures.Executor):
    """Runs functions on all machines that work on a queue: `concurrent.futures.Executor`.

    Calls are job files of the queue, such as ``train-1-3f9a2c5b8d1e0f47.call``, and wait there for
    workers: ``dirjobs work JOBS --functions --wait`` on each machine.  Functions and classes that
    are defined in the program itself, or in a notebook, go along; modules have to be there.

    Whoever can write to the share decides what runs on the machines of its workers, and, by what
    comes back, in this program: for a share that others write to there is `key_file`.

    Args:
        jobsdir: the queue: a path, a URL, or a `Store`.
        max_workers: how many processes to start on this machine, for as long as the executor is
            there; None: none.
        name: lets another run of the program find the calls of this one: the same call (of a
            function with the same name, source and arguments) is not run twice, its stored value
            is returned.  Letters, digits, ``-`` and ``_``.
        cache: whether that is so; by default if there is a name.
        key_file: sign calls with the key in this file, and take only values that a worker with
            the same key has signed; see ``dirjobs key``.
        signed: the same with the key of this user's keyring, or of ``DIRJOBS_KEY_FILE``.
        keep: give each call a folder ``$DIRJOBS_KEEP``, of which what is in there is there again
            when the call is run once more, on whichever machine.
        create: make the queue if there is none.  Else a path or URL is refused where nothing is,
            and where there is something else.
        storage_options: settings and credentials for the store.
        poll: seconds between two looks at a share where nothing happens.
        timeout: seconds, the longest that one request to the store may take.

    Raises:
        ConfigurationError: an argument is not right; the message says which and why.
        StoreError: the queue can't be used.
    """

    def __init__(
        self,
        jobsdir: str | os.PathLike[str] | Store,
        max_workers: int | None = None,
        *,
        name: str = "",
        cache: bool | None = None,
        key_file: str | None = None,
        signed: bool = False,
        keep: bool = False,
        create: bool = False,
        storage_options: Mapping[str, object] | None = None,
        poll: float = POLL,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ConfigurationError(
                f"max_workers must be greater than 0, not {max_workers!r}; or None."
            )
        if name and not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"name={name!r} can't be used: up to 40 letters, digits, '-' and '_' can."
            )
        self._name = name
        self._keeps = keep
        self._numbers = itertools.count(1)
        self._cache = bool(name) if cache is None else cache
        key = this_machines_key(key_file) if key_file or signed else None
        self.store = markers.renaming(open_store(jobsdir, storage_options, timeout=timeout))
        try:
            share = Share(with_retries(self.store))
            follow_links(self.store)
            is_named = not isinstance(jobsdir, Store)
            if create:
                check_parent(self.store)
            make_folders(share, only_in_queues=is_named and not create)
            markers.require_conditions(self.store)
            self._signatures = None if key is None else Signatures(share, key)
            guarantees = self.store.guarantees
            # Their journal is that of somebody who cancels jobs.
            me = Me(f"{history.CANCEL}-{nonce()}", cautious(guarantees), guarantees)
            self._parts = Parts(share, me, Intents())
            self._uploads = Uploads()
            self._collector = Collector(share)
            self._known: dict[str, str] | None = None
            """In which folder calls are, as listed `_known_at`, and as was seen since."""
            self._known_at = 0.0
            self._listing = threads.Lock()
            if not self._cache:
                self._collector.ignore_what_is_there()
            place = _place_for_workers(jobsdir, self.store, storage_options, max_workers)
            on_disk = self.store.names_suffice
            self._workers = LocalWorkers(place, on_disk, max_workers, key_file, signed)
            del jobsdir, storage_options, place  # or a traceback with variables would show a login
        except BaseException:
            self.store.close()
            raise
        self._poll = poll
        self._waiting = _Waiting()
        self._thread: Thread | None = None
        self._after_look: deque[Callable[[], object]] = deque()
        self._is_shut = False
        # Neither thread nor callback keeps an executor alive that nobody uses any more.
        self._finalizer = weakref.finalize(self, _abandon, self._waiting, self._workers)

    # -- what concurrent.futures asks -----------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Add a call to the queue.  It returns at once; what goes wrong with the call, also that
        an argument can't be pickled, is an exception of the future.

        Raises:
            RuntimeError: after `shutdown`.
        """
        return self._submit("", None, fn, args, kwargs)

    def submit_as(self, name: str, count: int, fn: Callable[..., Any], /, *args: Any) -> Future:
        """As `submit`; people see so many calls of `name`."""
        return self._submit(name, count, fn, args, {})

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """As ``map(fn, *iterables)``; see `concurrent.futures.Executor.map`.

        Args:
            timeout: seconds from now until the last value must be there.
            chunksize: so many calls are one job: for calls that take less time than a few
                requests to the share.

        Whoever asks for no more values of an executor without a name cancels the calls that no
        worker has begun.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        end = None if timeout is None else timeout + time.monotonic()
        calls = zip(*iterables, strict=False)
        if chunksize == 1:
            futures = [self.submit(fn, *call) for call in calls]
        else:
            name = name_of(fn)
            futures = [
                self._submit(name, len(chunk), _run_chunk, (fn, chunk), {})
                for chunk in _chunks(calls, chunksize)
            ]
        return _values(futures, end, in_chunks=chunksize > 1, cancels=not self._cache)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: until all futures are done; else their jobs stay in the queue.
            cancel_futures: cancel calls that no worker has begun.
        """
        with self._waiting.changed:
            self._is_shut = True
            self._waiting.closing = True
            self._waiting.changed.notify_all()
            calls = list(self._waiting.calls.values())
        if cancel_futures:
            for future in [one for call in calls for one in call.futures]:
                future.cancel()
        thread = self._thread
        if not wait or (thread is not None and threads.is_current(thread)):
            return
        if thread is not None:
            thread.join()
        self._close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.shutdown(wait=True)
        else:
            self.stop()

    def stop(self) -> None:
        """End now, as when Ctrl-C leaves a ``with`` block: what has not ended is cancelled, unless
        another run of the program may ask for it; no thread is left.

        Raises:
            StoreError: the share can't be reached: some calls may run yet.
        """
        self.shutdown(wait=False)
        with self._waiting.changed:
            left = [*self._waiting.calls.values()]
            self._waiting.calls.clear()
            self._waiting.to_send.clear()
            self._waiting.changed.notify_all()
            self._waiting.changed.wait_for(lambda: not self._waiting.sending)
        for future in [one for call in left for one in call.futures]:
            future.be_cancelled()
        if self._thread is not None:
            self._thread.join()
        self._workers.stop()  # what they run goes back into the queue
        try:
            if not self._cache:
                self._cancel({call.job for call in left})
        finally:
            self._close()

    def _cancel(self, jobs: Collection[str]) -> None:
        """Cancel calls that nobody can ask for any more, also those that run elsewhere."""
        for folder in (WAITING, RUNNING) if jobs else ():
            for file in self._parts.share.jobs_in(folder):
                if file.job.name in jobs and not file.staged:
                    cancel(self._parts, file)

    def _close(self) -> None:
        self._finalizer.detach()
        self._workers.stop()
        self.store.close()

    # -- submitting -----------------------------------------------------------------------

    def _submit(
        self,
        named: str,
        count: int | None,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Future:
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        named = named or name_of(fn)
        try:
            packed = pack(fn, args, kwargs, digest_of, named, count)
            packed.header.keeps = self._keeps
            job = self._job_name(named, fn, args, kwargs)
        except Exception as error:  # noqa: BLE001 - code of others: of an argument's class
            future = Future(self, named)
            told = f"{type(error).__name__}: {error}"
            failure = CallFailed("", f"a call of {named} can't be pickled: {told}")
            failure.__cause__ = error
            future.be_failed(failure)
            return future
        future = Future(self, packed.header.shown)
        future.job = job
        with self._waiting.changed:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            call = self._waiting.calls.get(job)
            if call is not None:
                call.futures.append(future)
                return future
            call = _Call(job, packed, future)
            self._waiting.calls[job] = call
            self._waiting.to_send.append(call)
            self._waiting.changed.notify_all()
            if self._thread is None:
                self._start()
            self._start_sender()
        return future

    def _job_name(
        self, named: str, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str:
        if self._cache:
            number, digest = "", identity(self._name, fn, args, kwargs)
        else:  # numbered, since workers take jobs in the order of their names
            number, digest = f"-{next(self._numbers)}", secrets.token_hex(_DIGITS // 2)
        function = re.sub(r"[^A-Za-z0-9_]+", "_", named.rpartition(".")[2]).strip("_")
        prefix = f"{self._name}." if self._name else ""
        return f"{prefix}{function[:_LONGEST_FUNCTION] or 'call'}{number}-{digest[:_DIGITS]}.call"

    def _start(self) -> None:
        self._thread = Thread(
            target=_collect,
            args=(weakref.ref(self), self._waiting),
            name="dirjobs-calls",
            daemon=True,
        )
        threads.start(self._thread)

    def _start_sender(self) -> None:
        """Let another thread add calls, if there are few."""
        waiting = self._waiting
        most = 1 if self.store.names_suffice else _SENDERS
        if waiting.senders >= min(most, waiting.sending + len(waiting.to_send)):
            return
        send = partial(_send_all, weakref.ref(self), waiting)
        threads.start(Thread(target=send, name="dirjobs-send", daemon=True))
        waiting.senders += 1

    def send(self, call: _Call) -> None:
        """Add a call to the queue, or learn that it is there.  For the threads of this module."""
        packed = call.packed
        if packed is None:
            return
        if self._cache and self._is_known(call):
            return
        try:
            self._add(call, packed)
        except BaseException:
            with self._waiting.changed:
                self._note_where(call.job, "")
            raise

    def _add(self, call: _Call, packed: Packed) -> None:
        share = self._parts.share
        self._uploads.store(share, packed.stored)
        data = packed.to_bytes()
        if self._signatures is not None:
            self._signatures.sign(share, call.job, io.BytesIO(data))
        with_name = partial(enqueue.upload_and_rename, self._parts, call.job)
        try:
            with_name(io.BytesIO(data), len(data))
        except JobExists:  # by another program, at this moment
            if not self._cache:
                raise
            call.was_there = True

    def _is_known(self, call: _Call) -> bool:
        """Whether a call of the same content is in the queue; one that has failed waits again."""
        with self._listing:
            if self._known is None or time.monotonic() - self._known_at > _KNOWN_FOR:
                known = enqueue.known_jobs(self._parts.share)
                with self._waiting.changed:
                    self._known, self._known_at = known, time.monotonic()
        with self._waiting.changed:
            folder = self._known.get(call.job)
            self._known[call.job] = WAITING
        if folder is None:
            return False
        call.was_there = True
        if folder == FAILED:
            retry(self._parts, JobFile(FAILED, call.job, Entry(call.job)))
        call.was_done = folder == DONE
        return True

    def _note_where(self, job: str, folder: str) -> None:
        """Know for the next time where a call is; in no folder if `folder` is empty."""
        if self._known is not None:
            self._known.pop(job, None)
            if folder:
                self._known[job] = folder

    # -- what comes back ------------------------------------------------------------------

    def look_after_workers(self) -> None:
        """For the thread of this module: see that the workers of this machine work.

        Raises:
            ConfigurationError: they can't.
        """
        self._workers.look_after()

    def look(self, calls: Collection[_Call], *, everywhere: bool) -> Found:
        """For the thread of this module."""
        return self._collector.look(
            frozenset(call.job for call in calls),
            frozenset(call.job for call in calls if call.packed is None),
            frozenset(call.job for call in calls if call.was_there),
            everywhere=everywhere,
        )

    def call_after_look(self, call: Callable[[], object]) -> None:
        """For a callback of a future: call `call` when all that the look under way has found is
        told; at once if there is none, or if this is another thread."""
        if self._thread is not None and threads.is_current(self._thread):
            self._after_look.append(call)
        else:
            call()

    def look_is_over(self) -> None:
        """For the thread of this module."""
        while self._after_look:
            self._after_look.popleft()()

    def settle(self, ended: Ended) -> None:
        """Tell the futures of a call what came of it.  For the thread of this module.

        Raises:
            StoreError: the share can't be reached.
        """
        record = ended.record
        outcome: Returned | Raised | CallFailed | None = None
        if record is None or record.end != CANCELLED:
            outcome = self._outcome(ended)
        with self._waiting.changed:
            call = self._waiting.calls.pop(ended.job, None)
            # What was found before it was even looked for had ended before.
            known = DONE if self._known is None else self._known.get(ended.job)
            stored = self._cache and known == DONE
            self._note_where(ended.job, ended.folder)
            self._waiting.changed.notify_all()
        if call is None:
            return
        is_cancelled = outcome is None
        values = [outcome.value] * len(call.futures) if isinstance(outcome, Returned) else []
        error = None if values or outcome is None else _error_of(outcome, ended, self.store)
        del outcome
        for future in call.futures:
            future.stored = call.was_done or stored
            if record is not None:
                future.host, future.seconds = record.host, record.seconds
                future.log_path = record.log
            if is_cancelled:
                future.be_cancelled()
            elif error is not None:
                future.be_failed(error)
            else:
                future.be_done(values)

    def _outcome(self, ended: Ended) -> Returned | Raised | CallFailed:
        try:
            return self._collector.value_of(ended, self._signatures)
        except TRANSIENT_ERRORS:
            raise
        except NotACall as error:
            return CallFailed(ended.job, str(error))
        except Exception as error:  # noqa: BLE001 - code of others: of the value's class
            told = f"its value can't be loaded here: {type(error).__name__}: {error}"
            failure = CallFailed(ended.job, told)
            failure.__cause__ = error
            return failure

    def withdraw(self, future: Future) -> bool:
        """For `Future.cancel`."""
        waiting = self._waiting
        with waiting.changed:
            call = waiting.calls.get(future.job)
            if call is None:
                return False
            waiting.changed.wait_for(lambda: not call.is_being_sent)
            if len(call.futures) > 1:  # somebody else waits for it
                call.futures.remove(future)
                return True
            if call.packed is not None:  # not even sent
                waiting.calls.pop(call.job, None)
                if call in waiting.to_send:
                    waiting.to_send.remove(call)
                waiting.changed.notify_all()
                return True
        if not cancel(self._parts, JobFile(WAITING, call.job, Entry(call.job))):
            return False
        with waiting.changed:
            waiting.calls.pop(call.job, None)
            self._note_where(call.job, FAILED)
            waiting.changed.notify_all()
        return True

    def log_of(self, future: Future) -> str:
        """For `Future.log`."""
        share = self._parts.share
        path = future.log_path
        if not path:
            logs = logs_of(share, future.job)
            if not logs:
                return ""
            path = logs[-1].path
        target = io.BytesIO()
        try:
            share.store.download(path, target)
        except NotFound:
            return ""
        return target.getvalue().decode(errors="replace")

    # -- for people -----------------------------------------------------------------------

    def slots(self) -> int:
        """How many calls can run at once: by the heartbeats of the workers that are at work, and
        on this machine as many as were asked for.

        Raises:
            StoreError: the store can't be reached, or refuses.
        """
        share = self._parts.share
        heard = Inspector(this_process()).hear(share, share.listed(WORKERS))
        told = sum(one.heartbeat.call_slots for one in heard if one.is_at_work)
        return max(told, self._workers.count)

    def tell_if_nobody_works(self) -> None:
        """For the thread of this module: calls wait, and nothing has happened for a while."""
        try:
            if self.slots():
                return
        except StoreError as error:
            log.info("workers can't be seen (%s)", error)
            return
        log.warning(
            "calls wait in %s, and no worker that takes them is at work: start one, on any machine,"
            " with `dirjobs work %s --functions --wait`",
            self.store.url,
            self.store.url,
        )

    def __repr__(self) -> str:
        with self._waiting.changed:
            left = len(self._waiting.calls)
        name = f", name={self._name!r}" if self._name else ""
        return f"Executor({self.store.url!r}{name}, {left} calls have not ended)"


def _place_for_workers(
    given: object, store: Store, options: Mapping[str, object] | None, count: int | None
) -> str:
    """What workers on this machine are told of where the queue is."""
    local = store.local_path("")
    if local is not None:
        return os.path.abspath(local)
    if count and (options or not isinstance(given, str)):
        raise ConfigurationError(
            f"max_workers={count} starts workers, and these can't be told storage_options or a"
            " store of this program: give the login in the URL, by `dirjobs login` or in FSSPEC_*."
        )
    return given if isinstance(given, str) else store.url


def _error_of(outcome: Returned | Raised | CallFailed, ended: Ended, store: Store) -> BaseException:
    """The exception of a future, with what happened elsewhere as its cause."""
    if isinstance(outcome, CallFailed):
        return outcome
    assert isinstance(outcome, Raised)
    record = ended.record
    host = "" if record is None else record.host
    where = "" if record is None or not record.log else f"; log: {store.full_path(record.log)}"
    text = f'\n"""\n{outcome.traceback}"""\nof job {ended.job} on {host}{where}'
    error = outcome.error
    if error is None:
        error = CallFailed(ended.job, outcome.told, outcome.traceback)
    error.__cause__ = RemoteTraceback(text)
    return error


def _run_chunk(function: Callable[..., Any], chunk: Sequence[Sequence[Any]]) -> list[Any]:
    return [function(*arguments) for arguments in chunk]


def _chunks(items: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _values(
    futures: list[Future], end: float | None, *, in_chunks: bool, cancels: bool
) -> Iterator[Any]:
    """The values, in order; nothing but the caller keeps one that was given out.

    Args:
        end: when the last must be there.
        in_chunks: each future gives a list of them.
        cancels: cancel what is left if nobody asks any more.
    """
    try:
        futures.reverse()
        while futures:
            value = [futures.pop().result(None if end is None else end - time.monotonic())]
            if in_chunks:
                yield from value.pop()
            else:
                yield value.pop()
    finally:
        for future in futures if cancels else ():
            future.cancel()


# -- the threads: none of them keeps an executor alive ----------------------------------------


def _send_all(executor: weakref.ref[Executor], waiting: _Waiting) -> None:
    """Add calls to the queue as long as there are any."""
    while True:
        with waiting.changed:
            if not waiting.to_send:
                waiting.senders -= 1
                return
            call = waiting.to_send.popleft()
            call.is_being_sent = True
            waiting.sending += 1
        owner = executor()
        error: BaseException | None = None
        try:
            if owner is not None:
                owner.send(call)
        except Exception as problem:  # noqa: BLE001 - whoever waits for the call is told
            error = problem
        with waiting.changed:
            call.packed, call.is_being_sent = None, False
            waiting.sending -= 1
            waiting.news = True
            if error is not None:
                waiting.calls.pop(call.job, None)
            waiting.changed.notify_all()
        if error is not None:
            for future in call.futures:
                future.be_failed(error)
        del owner, call


def _collect(executor: weakref.ref[Executor], waiting: _Waiting) -> None:
    """Look what came of calls as long as somebody may want to know."""
    owner = executor()
    if owner is None:
        return
    watch = _Watch(waiting, owner.store.names_suffice, owner._poll)
    del owner
    while True:
        with waiting.changed:
            waiting.changed.wait_for(lambda: waiting.calls or waiting.closing)
            if not waiting.calls:
                return
            waiting.changed.wait_for(lambda: waiting.news or not waiting.calls, watch.pause)
            if waiting.news:
                waiting.news = False
                watch.be_quick()
        owner = executor()
        if owner is None:
            return
        watch.look(owner)  # which keeps no call, and so no value, until the next look
        del owner


class _Watch:
    """How often it is looked what came of calls, and what is told meanwhile.

    Args:
        on_disk: whether a look costs next to nothing.
        poll: seconds between two looks where nothing happens.
    """

    def __init__(self, waiting: _Waiting, on_disk: bool, poll: float) -> None:
        self._waiting = waiting
        self._first = _FIRST_PAUSE_ON_A_DISK if on_disk else _FIRST_PAUSE
        self._longest = min(poll, _POLL_ON_A_DISK) if on_disk else poll
        self._every = _EVERYWHERE_ON_A_DISK if on_disk else _EVERYWHERE
        self._everywhere_at = self._news_at = time.monotonic()
        self._told = False
        self._running: frozenset[str] = frozenset()
        self.pause = self._first
        """Seconds until the next look."""

    def be_quick(self) -> None:
        """Something happens."""
        self.pause = self._first

    def look(self, owner: Executor) -> None:
        """Look once."""
        with self._waiting.changed:
            wanted = [*self._waiting.calls.values()]
        if all(call.packed is not None for call in wanted):
            return
        now = time.monotonic()
        everywhere = now - self._everywhere_at >= self._every
        try:
            owner.look_after_workers()
            found = owner.look(wanted, everywhere=everywhere)
            for ended in found.ended:
                owner.settle(ended)
        except StoreError as error:
            log.info("it can't be seen what came of calls (%s); trying again", error)
            self.pause = min(_GROWTH * max(self.pause, _AFTER_AN_ERROR), _LONGEST_PAUSE)
            return
        except ConfigurationError as error:  # no worker can be started here
            _fail_all(self._waiting, error)
            return
        finally:
            owner.look_is_over()
        if everywhere:
            self._everywhere_at = now
        if found.running is not None:
            _note_running(self._waiting, found.running)
        if found.ended or (found.running is not None and found.running != self._running):
            self._news_at, self._told = now, False
        self._running = self._running if found.running is None else found.running
        if not self._told and now - self._news_at > _NOBODY:
            self._told = True
            owner.tell_if_nobody_works()
        self.pause = self._first if found.ended else min(_GROWTH * self.pause, self._longest)


def _note_running(waiting: _Waiting, running: Iterable[str]) -> None:
    with waiting.changed:
        calls = [waiting.calls[job] for job in running if job in waiting.calls]
    for call in calls:
        for future in call.futures:
            future.be_running()


def _fail_all(waiting: _Waiting, error: BaseException) -> None:
    with waiting.changed:
        calls = list(waiting.calls.values())
        waiting.calls.clear()
        waiting.to_send.clear()
        waiting.changed.notify_all()
    for call in calls:
        for future in call.futures:
            future.be_failed(error)


def _abandon(waiting: _Waiting, workers: LocalWorkers) -> None:
    """Nobody has the executor any more: its threads and its workers end."""
    with waiting.changed:
        waiting.closing = True
        waiting.changed.notify_all()
    workers.stop()
