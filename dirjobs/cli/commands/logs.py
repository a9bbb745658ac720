"""``dirjobs logs``: what a job printed."""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

import click

from dirjobs.admin.audience import Outage
from dirjobs.admin.locate import locate, unknown
from dirjobs.admin.logs import Log, logs_of
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.text import TerminalText, json_text, on_terminal
from dirjobs.errors import TRANSIENT_ERRORS, ConfigurationError, NotFound
from dirjobs.layout import RUNNING, WAITING, is_call
from dirjobs.names import unsafe_name
from dirjobs.protocol.share import Share
from dirjobs.temporary import temporary_file

_INTERVAL, _ON_A_DISK = 3.0, 0.5
"""Seconds between two looks at a log by URL, and at one of this machine."""
_PIECE = 1 << 16
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

    `dirjobs work` puts the output of a running job on the share every half minute, and into a
    queue on a disk within a second.  With -f new output is shown as it comes there.  On a
    terminal, what could make it act (escape sequences
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
            _show_as_json(share, name, log)
        else:
            with _output(raw) as output:
                share.store.download(log.path, output)


@contextmanager
def _output(raw: bool) -> Iterator[BinaryIO]:
    """Standard output, for bytes that somebody else may have written."""
    if raw or not on_terminal():
        yield sys.stdout.buffer
    else:
        with TerminalText() as output:
            yield cast("BinaryIO", output)


def _show_as_json(share: Share, job: str, log: Log) -> None:
    """Print the log as JSON, of which no more than a piece is held in memory."""
    document = {"job": job, "worker": log.worker, "path": log.path, "text": ""}
    before, _, after = json_text(document, indent=1).rpartition('""')
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with temporary_file() as content:
        share.store.download(log.path, content)
        content.seek(0)
        click.echo(f'{before}"', nl=False)
        while piece := content.read(_PIECE):
            click.echo(json_text(decoder.decode(piece))[1:-1], nl=False)
        click.echo(f'{json_text(decoder.decode(b"", final=True))[1:-1]}"{after}')


def _latest(share: Share, job: str, worker: str | None) -> Log | None:
    found = logs_of(share, job)
    if worker is not None:
        found = [log for log in found if worker in (log.worker, log.worker.partition("~")[0])]
    return found[-1] if found else None


def _nothing(share: Share, job: str, worker: str | None) -> ConfigurationError:
    places = locate(share, job)
    if not places:
        return unknown(share, job, "logs")
    if worker is not None:
        return ConfigurationError(f"job {job!r} has no log of worker {worker!r}.")
    state = places[0].state
    why = {
        "running": "it comes within half a minute if `dirjobs work` runs the job; -f waits for it",
        "waiting": "it was not started yet",
    }.get(
        state,
        "it has printed nothing"
        if is_call(job)
        else "it was not run by `dirjobs work`, or its log could not be stored",
    )
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
        self._shown = Shown()
        self._is_local = share.store.local_path("") is not None

    def follow(self) -> None:
        """Until the job is neither waiting nor running.

        Raises:
            ConfigurationError: there is no such job.
            StoreError: the store refuses; while it can't be reached this waits.
        """
        if not locate(self._share, self._job):
            raise _nothing(self._share, self._job, self._worker)
        outage = Outage(say)
        has_told = self._is_local
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
            if not has_told:
                has_told = True
                say("new output of a running job comes every half minute.")
            self._share.sleep(_ON_A_DISK if self._is_local else _INTERVAL)
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
        with temporary_file() as content:
            try:
                self._share.store.download(log.path, content)
            except NotFound:
                return
            if self._log is None or log.worker != self._log.worker:
                self._shown = Shown()
            self._log = log
            copy_new_part(self._shown, content, self._output)
            self._output.flush()
            self._shown = Shown.of(content)


class Shown(NamedTuple):
    """What is known of the part of a log that was shown already.

    Attributes:
        size: bytes.
        digest: of all of it.
        tail: its end.
    """

    size: int = 0
    digest: bytes = hashlib.blake2b().digest()
    tail: bytes = b""

    @classmethod
    def of(cls, content: BinaryIO, size: float = math.inf) -> Shown:
        """The first `size` bytes of a file, or all of it."""
        content.seek(0)
        seen, digest, tail = 0, hashlib.blake2b(), b""
        while piece := content.read(int(min(_PIECE, size - seen))):
            seen += len(piece)
            digest.update(piece)
            tail = (tail + piece)[-_OVERLAP:]
        return cls(seen, digest.digest(), tail)


def copy_new_part(shown: Shown, content: BinaryIO, output: BinaryIO) -> None:
    """Copy what of a log was not yet there when `shown` of it was, piece by piece."""
    at: int | None = shown.size
    if Shown.of(content, shown.size) != shown:
        at = _end_of(shown.tail, content)  # its middle was left out, and its end goes on
    if at is None:
        output.write(b"\n[...]\n")
        at = max(0, content.seek(0, os.SEEK_END) - _OVERLAP)
    content.seek(at)
    shutil.copyfileobj(content, output, _PIECE)


def _end_of(text: bytes, content: BinaryIO) -> int | None:
    """Where the last `text` in a file ends; None if there is none."""
    content.seek(0)
    found, at, kept = None, 0, b""
    while piece := content.read(_PIECE):
        window = kept + piece
        place = window.rfind(text)
        if place >= 0:
            found = at - len(kept) + place + len(text)
        at += len(piece)
        kept = window[-(len(text) - 1) :] if len(text) > 1 else b""
    return found
