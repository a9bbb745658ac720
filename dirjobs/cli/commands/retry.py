"""``dirjobs retry``, ``requeue`` and ``cancel``: what a person does about single jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import click

from dirjobs.admin import cancel as cancelling
from dirjobs.admin import retry as retrying
from dirjobs.admin.locate import chosen, jobs_in, missed
from dirjobs.admin.requeue import requeue as requeuing
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.cli.parallel import each
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import Bar, show, show_json
from dirjobs.layout import FAILED, PARKED, RUNNING, WAITING, JobFile
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import temporary_member

R = TypeVar("R")

_PASSES = 3


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--failed", "everything", is_flag=True, help="All failed jobs.")
@json_option
@verbose_option
@told_in_one_sentence
def retry(jobs: str, names: tuple[str, ...], everything: bool, as_json: bool, verbose: int) -> None:
    """Put failed jobs back among the waiting ones.

    JOB is a name or a pattern such as 'lr0.1*'.  A second copy that was parked can be named
    as well: it comes back as job~2.  What was noted of earlier attempts is kept, but workers
    that died at a job before now no longer count against it.
    """
    _all_or_some(names, everything, "--failed")
    with opened(jobs, verbose) as share:
        places = _failed(share, None if everything else names)
        pairs = _visit(share, "retry", "retrying", places, retrying.retry)
    done = sorted(name for _, name in pairs if name is not None)
    left = sorted(place.job.name for place, name in pairs if name is None)
    if as_json:
        show_json({"retried": done, "left": left})
        return
    show(f"{_counted(done)} waiting again." if done else "No job was retried.")
    if left:
        show(f"Left alone, since they are gone or wait already: {_some(left)}.")


def _failed(share: Share, wanted: Sequence[str] | None) -> list[JobFile]:
    failed = jobs_in(share, FAILED)
    if wanted is None:
        return failed
    found, missing = chosen(failed, wanted)
    if missing:
        parked, missing = chosen(jobs_in(share, PARKED), missing)
        found += parked
    if missing:
        raise missed(share, missing, "failed")
    return found


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, required=True, metavar="JOB...")
@json_option
@verbose_option
@told_in_one_sentence
def cancel(jobs: str, names: tuple[str, ...], as_json: bool, verbose: int) -> None:
    """Take waiting or running jobs out: they go to 99_failed with the note "cancelled".

    JOB is a name or a pattern such as 'lr0.1*'.  The worker of a running job finds out within
    a minute (`dirjobs work` ends the command then), or when it wants to end the job.
    `dirjobs retry` brings a job back.
    """
    done: set[str] = set()
    with opened(jobs, verbose) as share:
        places = _unfinished(share, names)
        asked = {place.job.name for place in places}
        for _ in range(_PASSES):
            pairs = _visit(share, "cancel", "cancelling", places, cancelling.cancel)
            done |= {place.job.name for place, moved in pairs if moved}
            # Somebody may have claimed it, or given it back, meanwhile.
            places = _of(asked - done, _all_unfinished(share))
            if not places:
                break
    left = sorted(asked - done)
    if as_json:
        show_json({"cancelled": sorted(done), "left": left})
        return
    show(f"Cancelled {_some(sorted(done))}." if done else "No job was cancelled.")
    if left:
        show(f"Left alone, since they ended meanwhile: {_some(left)}.")


def _all_unfinished(share: Share) -> list[JobFile]:
    waiting = jobs_in(share, WAITING)
    return waiting + jobs_in(share, RUNNING)


def _unfinished(share: Share, wanted: Sequence[str]) -> list[JobFile]:
    found, missing = chosen(_all_unfinished(share), wanted)
    if missing:
        raise missed(share, missing, "waiting or running")
    return found


def _of(names: Collection[str], places: Iterable[JobFile]) -> list[JobFile]:
    return [place for place in places if place.job.name in names]


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--dead", is_flag=True, help="All jobs of workers that are dead or have ended.")
@json_option
@verbose_option
@told_in_one_sentence
def requeue(jobs: str, names: tuple[str, ...], dead: bool, as_json: bool, verbose: int) -> None:
    """Give running jobs back, to be claimed by another worker.

    JOB is a name or a pattern such as 'lr0.1*', whoever has it: a worker that is alive finds
    out when it wants to end the job, and the job is done twice.  Workers that live do the
    same as --dead by themselves; dead is who provably is, on this machine, or was silent
    for two leases (10 minutes).
    """
    _all_or_some(names, dead, "--dead")
    with opened(jobs, verbose) as share:
        wanted = _running(share, names) if names else set()
        done = sorted(requeuing(share, wanted, dead=dead))
    left = sorted(wanted - set(done))
    if as_json:
        show_json({"requeued": done, "left": left})
        return
    show(f"{_counted(done)} waiting again." if done else "No job was given back.")
    if left:
        show(f"Left alone, since they ended meanwhile or still change: {_some(left)}.")


def _running(share: Share, wanted: Sequence[str]) -> set[str]:
    found, missing = chosen(jobs_in(share, RUNNING), wanted)
    if missing:
        raise missed(share, missing, "running")
    return {place.job.name for place in found}


# -- what they have in common ---------------------------------------------------------------


def _all_or_some(names: Sequence[str], everything: bool, option: str) -> None:
    if bool(names) == everything:
        raise click.UsageError(f"name jobs, or write {option}")


def _visit(
    share: Share,
    purpose: str,
    what: str,
    places: Sequence[JobFile],
    change: Callable[[Parts, JobFile], R],
) -> list[tuple[JobFile, R]]:
    """Change each of `places`, by several threads under one name."""
    found: list[tuple[JobFile, R]] = []
    if not places:
        return found
    with temporary_member(share, purpose) as member, Bar(what, len(places)) as bar:
        told = share.now()

        def changed(share: Share, place: JobFile) -> R:
            return change(member.parts.over(share), place)

        for pair in each(share, places, changed):
            found.append(pair)
            bar.show(len(found))
            if share.now() - told > member.me.policy.heartbeat:
                member.incarnations.tell()
                told = share.now()
    return found


def _counted(names: Sequence[str]) -> str:
    return f"{names[0]} is" if len(names) == 1 else f"{len(names):,} jobs are"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
