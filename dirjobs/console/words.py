"""How the state of a queue is told, in words and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dirjobs.admin.report import HANGS, Claimed, Failure, Overview, Seen, State
from dirjobs.console.text import brief_duration, clock_time, duration

_SHOWN_JOBS = 3


def counted(found: Overview) -> str:
    """``12 waiting, 6 running, 40 done, 2 failed``."""
    if not found.total:
        return "no jobs"
    parts = {
        "waiting": found.waiting,
        "running": found.running,
        "done": found.done,
        "failed": found.failed,
    }
    if found.cancelled:
        parts["cancelled"] = found.cancelled
    over = found.done + found.failed + found.cancelled
    told = ", ".join(f"{number:,} {how}" for how, number in parts.items())
    return f"{told} ({over:,} of {found.total:,} ended)"


class Remark(NamedTuple):
    """A line that a person should read.

    Attributes:
        text: what it says.
        style: rich's name of its colour.
    """

    text: str
    style: str = ""


def remarks(found: Overview) -> list[Remark]:
    """What else a person should know."""
    lines = []
    if found.paused:
        lines.append(Remark("Paused: `dirjobs resume` lets the workers go on.", "yellow"))
    if found.rate:
        lines.append(Remark(f"{speed(found)}."))
    if found.total and not found.waiting and not found.running:
        lines.append(ended(found))
    if found.nobody_works:
        lines.append(Remark("Nobody works: start `dirjobs work`.", "yellow"))
    if found.calls and not found.call_slots:
        calls = "1 call waits" if found.calls == 1 else f"{found.calls:,} calls wait"
        text = f"{calls}, and no worker takes any: start `dirjobs work --functions`."
        lines.append(Remark(text, "yellow"))
    dead = [worker for worker in found.workers if worker.state is State.DEAD and worker.jobs]
    if dead:
        jobs = sum(len(worker.jobs) for worker in dead)
        text = f"{jobs:,} running of dead workers: `dirjobs requeue --dead` gives them back."
        lines.append(Remark(text, "red"))
    lines += _about_silent(found)
    if found.parked:
        copies = "copy is" if found.parked == 1 else "copies are"
        text = f"{found.parked:,} second {copies} parked in _queue/parked."
        lines.append(Remark(text, "yellow"))
    if found.left_behind:
        files = "file is" if found.left_behind == 1 else "files are"
        text = (
            f"{found.left_behind:,} {files} not taken for jobs, such as"
            f" {found.left_behind_example!r}: names like this are left by other"
            " programs."
        )
        lines.append(Remark(text, "yellow"))
    if found.changed:
        which = "job is" if found.changed == 1 else "jobs are"
        text = (
            f"{found.changed:,} waiting {which} not taken, such as {found.changed_example!r}: the"
            " server changes such names; rename them."
        )
        lines.append(Remark(text, "yellow"))
    return lines


def _about_silent(found: Overview) -> list[Remark]:
    """What becomes of jobs whose workers are silent, and what helps where nobody sees to it."""
    silent = [worker for worker in found.workers if worker.state is State.SILENT and worker.jobs]
    if not silent:
        return []
    jobs = sum(len(worker.jobs) for worker in silent)
    what, they = ("job is", "it goes") if jobs == 1 else ("jobs are", "they go")
    others = f" and {len(silent) - 1:,} more" if len(silent) > 1 else ""
    within = brief_duration(max(worker.lease for worker in silent))
    told = f"{jobs:,} {what} held by {silent[0].id}{others}, silent for {_silence(silent)}:"
    if any(worker.may_work and worker.state is not State.SILENT for worker in found.workers):
        told += f" {they} to another worker within {within}, unless there is a sign of life."
    else:
        told += (
            f" start `dirjobs work`, and {they} to it within {within}; `dirjobs requeue JOB` gives"
            " one back at once."
        )
    return [Remark(told, "yellow")]


def _silence(silent: Sequence[Seen]) -> str:
    """For how long there was no sign of life of any of them."""
    ages = [worker.age for worker in silent if worker.age is not None]
    return brief_duration(min(ages)) if ages else "some time"


def shown_workers(found: Overview) -> tuple[Seen, ...]:
    """The workers that a person wants to see: when all is over, none that is dead and has
    nothing."""
    if found.waiting or found.running:
        return found.workers
    return tuple(worker for worker in found.workers if worker.state is not State.DEAD)


def ended(found: Overview) -> Remark:
    """How a queue ended in which nothing is left to do."""
    if not found.failed:
        how = "done or cancelled" if found.cancelled else "done"
        return Remark(f"All jobs are {how}.", "green")
    text = f"All jobs have ended, {found.failed:,} failed: `dirjobs retry --failed` tries again."
    return Remark(text, "red")


def speed(found: Overview) -> str:
    """``1,230 jobs an hour; about 3 min 20 s left``."""
    rate = found.rate or 0.0
    text = f"{rate:,.3g} jobs an hour" if rate < 1000 else f"{rate:,.0f} jobs an hour"
    if found.remaining is None:
        return text
    least, most = (
        duration(found.remaining * factor, least=1)
        for factor in (1 / (1 + found.doubt), 1 + found.doubt)
    )
    return f"{text}; about {least if least == most else f'{least} to {most}'} left"


def how_long(found: Overview, job: Claimed) -> str:
    """``40 x the usual time`` of a job that takes long; else empty."""
    times = found.times_usual(job)
    return f"{times:,.0f} x the usual time" if times > HANGS else ""


def worker_row(found: Overview, worker: Seen) -> tuple[str, ...]:
    """The cells that show a worker."""
    state = f"{worker.state}, draining" if worker.draining else str(worker.state)
    where = f"{worker.host}:{worker.pid}" if worker.pid else worker.host
    if worker.state is State.UNKNOWN:
        age = ""
    elif worker.age is None:
        age = "age unknown"
    else:
        age = f"{duration(worker.age, least=1)} ago"
    return worker.id, where, state, age, running(found, worker.jobs)


def running(found: Overview, jobs: tuple[Claimed, ...]) -> str:
    """``a.json (2 min 10 s), b.json (40 min, 40 x the usual time) and 3 more``."""
    shown = []
    for job in jobs[:_SHOWN_JOBS]:
        since = "" if job.seconds is None else duration(job.seconds, least=1)
        told = ", ".join(filter(None, (since, how_long(found, job))))
        shown.append(f"{job.job} ({told})" if told else job.job)
    more = f" and {len(jobs) - _SHOWN_JOBS} more" if len(jobs) > _SHOWN_JOBS else ""
    return ", ".join(shown) + more


def failure_row(failure: Failure) -> tuple[str, ...]:
    """The cells that show a failed job."""
    return clock_time(failure.at), failure.job, " ".join(failure.reason.split())
