"""``dirjobs check``: what a share really guarantees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from dirjobs.check import Check, Findings, Lag, Race, check
from dirjobs.check.file_semantics import Nowhere, Partial
from dirjobs.check.record import Recorded, record
from dirjobs.cli.options import (
    QueueCommand,
    jobs_argument,
    json_option,
    opened_store,
    verbose_option,
)
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.text import duration, show, show_json, show_table
from dirjobs.policy import Mode
from dirjobs.protocol import markers

_PARTIAL = {
    Partial.HIDDEN: "hidden from others",
    Partial.VISIBLE: "seen by others, who can't claim them",
    Partial.MOVABLE: "can be claimed by others",
}
_NOWHERE = {
    Nowhere.REFUSED: "is refused",
    Nowhere.IGNORED: "says that it is done, and does nothing",
    Nowhere.MADE: "makes the folder",
    Nowhere.LOST: "LOSES the file",
}


@click.command("check", cls=QueueCommand)
@jobs_argument
@click.option("--mount", metavar="PATH", help="Another path of the same folder: how late is it?")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    help="Races for one file, however long they take.  [default: 300, or what a minute allows]",
)
@click.option(
    "--connections",
    type=click.IntRange(min=2),
    default=4,
    show_default=True,
    help="How many race; some accounts allow few.",
)
@click.option("--record", "keep", is_flag=True, help="Set the queue up accordingly.")
@json_option
@verbose_option
@told_in_one_sentence
def check_command(
    jobs: str,
    mount: str | None,
    rounds: int | None,
    connections: int,
    keep: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Try what the share of JOBS really guarantees.

    It says which mode is right there.  Several callers race for files in a scratch folder of their
    own, which is removed afterwards; nothing else is touched.  It takes a minute at most.  With
    --record the outcome is written into _queue/queue.json, and workers go by it.
    """
    with opened_store(jobs, verbose) as store, check_progress() as tell:
        if isinstance(store, markers.Markers):
            _check_objects(store, rounds or 100, as_json=as_json)
            return
        done = check(jobs, mount=mount, rounds=rounds, connections=connections, tell=tell)
        recorded = record(store, done) if keep else None
    if as_json:
        told = {} if recorded is None else {"recorded": recorded.to_json()}
        show_json({**done.to_json(), **told})
    else:
        _show(done, recorded)


def _check_objects(store: markers.Markers, rounds: int, *, as_json: bool) -> None:
    """Say whether a queue can rest on this object storage: it can if creates are exclusive."""
    markers.require_conditions(store, rounds)
    if as_json:
        show_json({"mode": Mode.TRUST.value, "rounds": rounds})
        return
    show(
        f"Of several who create one object one is told so, in {rounds:,} of {rounds:,} races: a"
        " queue can be here, in mode trust."
    )


@contextmanager
def check_progress(*, in_lines: bool = True) -> Iterator[Callable[[str, float], None]]:
    """What is being done, on standard error: a bar on a terminal, lines elsewhere unless nobody
    has asked for them."""
    if not sys.stderr.isatty():
        told = ""

        def tell(what: str, part: float) -> None:  # noqa: ARG001
            nonlocal told
            if what != told and in_lines:
                say(f"{what} ...")
            told = what

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    with Progress(*columns, BarColumn(20), console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, part: bar.update(task, description=what, completed=part)


def _show(done: Check, recorded: Recorded | None) -> None:
    verdict = done.verdict
    wait = f", sync_time {verdict.sync_time:g}" if verdict.sync_time else ""
    cost = duration(verdict.seconds_per_job, least=0.001)
    show(f"Mode {verdict.mode.value}{wait} is right here; it takes about {cost} for each job.")
    for sentence in verdict.why:
        show(f"  {sentence}")
    if verdict.avoid:
        show("Mind:")
    for sentence in verdict.avoid:
        show(f"  {sentence}")
    if recorded is not None:
        show(recorded.sentence)
    show("")
    show_table(_rows(done.findings), wraps=True)


def _rows(found: Findings) -> Iterator[tuple[str, str]]:
    yield "place", found.url
    if found.surroundings.file_system:
        yield "file system", f"{found.surroundings.file_system} ({found.surroundings.source})"
    yield "rename, across folders", _race(found.across)
    yield "rename, in a folder", _race(found.inside)
    yield "rename, to one name", _race(found.collisions)
    if found.write is not None:
        yield "writing one file", _race(found.write)
    if found.across.losers:
        losers = ", ".join(f"{how} {n}x" for how, n in found.across.losers.most_common())
        yield "losers were told", losers
    if found.times.kept is not None:
        kept = "kept by a rename" if found.times.kept else "NOT kept: it is a copy"
        unit = "whole seconds" if found.times.precision == 1 else "parts of seconds"
        yield "time of a file", f"{kept}; {unit}; {found.times.offset:+.1f} s from our clock"
    yield "listings", _lag(found.lag)
    if found.mount_lag is not None:
        yield "listings, to the mount", _lag(found.mount_lag)
    if found.partial is not None:
        yield "unfinished uploads", _PARTIAL[found.partial]
    yield from _names(found)
    if found.nowhere is not None:
        yield "rename into a missing folder", _NOWHERE[found.nowhere]
    for verb, took in sorted(found.latency.items()):
        yield verb, duration(took, least=0.001)
    if found.left_out:
        yield "no time for", ", ".join(found.left_out)
    yield "this took", duration(found.seconds)


def _names(found: Findings) -> Iterator[tuple[str, str]]:
    if found.names is None:
        return
    for what, kinds in (("changes", found.names.mangled), ("takes no", found.names.refused)):
        if kinds:
            yield f"{what} names with", ", ".join(kinds)
    yield "longest name", f"{found.names.longest} bytes"
    if found.names.case_sensitive is not None:
        yield "job1 and JOB1", "are two" if found.names.case_sensitive else "are one"


def _race(race: Race) -> str:
    if race.failed:
        return f"NOT exclusive: {race.failed} of {race.rounds} races failed"
    if race.bound is None:
        return "not known: nobody met"
    return f"{race.contested} races, none failed (< {100 * race.bound:.2g} % do)"


def _lag(lag: Lag) -> str:
    if lag.unseen:
        return f"{lag.unseen[0]} not seen after {lag.unseen[1]:.0f} s"
    if not lag.worst:
        return f"show a change at once ({lag.trials} tries)"
    return f"up to {lag.worst:.1f} s late"
