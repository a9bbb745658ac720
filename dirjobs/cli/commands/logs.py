"""``dirjobs logs``: what a job printed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import click

from dirjobs.admin.locate import locate
from dirjobs.admin.logs import Log, logs_of
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import Outage, told_in_one_sentence
from dirjobs.console.text import TerminalText, on_terminal, show_json
from dirjobs.errors import TRANSIENT_ERRORS, ConfigurationError, NotFound
from dirjobs.layout import RUNNING, WAITING
from dirjobs.names import unsafe_name
from dirjobs.protocol.share import Share

_INTERVAL = 3.0
_LARGEST_DOCUMENT = 64 << 20
"""Bytes: `dirjobs work` writes shorter logs."""
_OVERLAP = 4096
"""So many bytes at the end of what was shown tell where to go on in a file whose middle was
left out meanwhile."""


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("name", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--worker", metavar="ID", help="Of the attempt by this worker, not of the latest.")
@click.option("--raw", is_flag=True, help="Escape nothing on a terminal: colours, but also traps.")
@json_option
@verbose_option
@told_in_one_sentence
def logs(
    jobs: str,
    name: str,
    follow: bool,
    worker: str | None,
    raw: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Print what a job has printed, at its latest attempt.

    `dirjobs work` puts the output of a running job on the share every minute.  With -f new
    output is shown as it comes there.  On a terminal, what could make it act (escape sequences
    and the like) is shown, not obeyed; files and pipes get every byte as it is.
    """
    if as_json and (follow or raw):
        raise click.UsageError(f"{'-f' if follow else '--raw'} and --json don't go together")
    if unsafe_name(name) is not None:
        raise ConfigurationError(f"{name!r} can't be the name of a job.")
    with opened(jobs, verbose) as share:
        if follow:
            with _output(raw) as output:
                Follower(share, name, worker, output).follow()
            return
        log = _latest(share, name, worker)
        if log is None:
            raise _nothing(share, name, worker)
        if as_json:
            text = _whole(share, log).decode(errors="replace")
            show_json({"job": name, "worker": log.worker, "path": log.path, "text": text})
        else:
            with _output(raw) as output:
                share.store.download(log.path, output)


def _whole(share: Share, log: Log) -> bytes:
    if (log.entry.size or 0) > _LARGEST_DOCUMENT:
        raise ConfigurationError(
            f"{log.path!r} has {log.entry.size:,} bytes, too many for one JSON document: leave"
            " out --json."
        )
    content = io.BytesIO()
    share.store.download(log.path, content)
    return content.getvalue()


@contextmanager
def _output(raw: bool) -> Iterator[BinaryIO]:
    """Standard output, for bytes that somebody else may have written."""
    if raw or not on_terminal():
        yield sys.stdout.buffer
    else:
        with TerminalText() as output:
            yield cast("BinaryIO", output)


def _latest(share: Share, job: str, worker: str | None) -> Log | None:
    found = logs_of(share, job)
    if worker is not None:
        found = [log for log in found if worker in (log.worker, log.worker.partition("~")[0])]
    return found[-1] if found else None


def _nothing(share: Share, job: str, worker: str | None) -> ConfigurationError:
    places = locate(share, job)
    if not places:
        return ConfigurationError(f"this queue has no job {job!r}; `dirjobs list` tells.")
    if worker is not None:
        return ConfigurationError(f"job {job!r} has no log of worker {worker!r}.")
    state = places[0].state
    why = {
        "running": "it comes within a minute if `dirjobs work` runs the job; -f waits for it",
        "waiting": "it was not started yet",
    }.get(state, "it was not run by `dirjobs work`, or its log could not be stored")
    return ConfigurationError(f"job {job!r} is {state} and has no log: {why}.")


class Follower:
    """Shows a log as it grows.

    Args:
        share: of the queue.
        job: whose.
        worker: of whose attempt; None for the latest.
        output: where to.
    """

    def __init__(self, share: Share, job: str, worker: str | None, output: BinaryIO) -> None:
        self._share = share
        self._job = job
        self._worker = worker
        self._output = output
        self._log: Log | None = None
        self._shown = b""

    def follow(self) -> None:
        """Until the job is neither waiting nor running.

        Raises:
            ConfigurationError: there is no such job.
            StoreError: the store refuses; while it can't be reached this waits.
        """
        if not locate(self._share, self._job):
            raise _nothing(self._share, self._job, self._worker)
        outage = Outage()
        while True:
            try:
                # The log is complete before the job leaves 01_running.
                running = self._is_on_its_way()
                self._look()
            except TRANSIENT_ERRORS as error:
                outage.note(error)
                running = True
            else:
                outage.is_over()
            if not running:
                break
            self._share.sleep(_INTERVAL)
        if self._log is None:
            raise _nothing(self._share, self._job, self._worker)

    def _is_on_its_way(self) -> bool:
        for folder in (WAITING, RUNNING):
            places = self._share.jobs_in(folder)
            if any(place.job.name == self._job for place in places):
                return True
        return False

    def _look(self) -> None:
        log = _latest(self._share, self._job, self._worker)
        if log is None or log == self._log:
            return
        content = io.BytesIO()
        try:
            self._share.store.download(log.path, content)
        except NotFound:
            return
        if self._log is None or log.worker != self._log.worker:
            self._shown = b""
        self._log = log
        self._output.write(new_part(self._shown, content.getvalue()))
        self._output.flush()
        self._shown = content.getvalue()


def new_part(shown: bytes, content: bytes) -> bytes:
    """What of `content` was not yet in `shown`, an earlier state of the same log."""
    if content.startswith(shown):
        return content[len(shown) :]
    # Its middle was left out, and its end goes on.
    tail = shown[-_OVERLAP:]
    at = content.rfind(tail)
    if at >= 0:
        return content[at + len(tail) :]
    return b"\n[...]\n" + content[-_OVERLAP:]
