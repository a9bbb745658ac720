"""``dirjobs show``: all about one job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from msgspec.structs import asdict

from dirjobs.admin.history import read_history, time_of
from dirjobs.admin.inspect import Inspector
from dirjobs.admin.locate import entry_at, locate, unknown
from dirjobs.admin.logs import Log, logs_of
from dirjobs.admin.report import Heard, iso, rounded
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import clock_time, duration, show, show_json
from dirjobs.errors import ConfigurationError
from dirjobs.layout import RUNNING, WORKERS, JobFile
from dirjobs.names import unsafe_name
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED, Record
from dirjobs.protocol.share import Share
from dirjobs.recovery.heartbeat import worker_of
from dirjobs.recovery.process import this_process
from dirjobs.shell import typed
from dirjobs.sizes import told as told_size
from dirjobs.store import Entry
from dirjobs.typed import text_of


@click.command("show", cls=QueueCommand)
@jobs_argument
@job_argument("name", metavar="JOB")
@json_option
@verbose_option
@told_in_one_sentence
def show_job(jobs: str, name: str, as_json: bool, verbose: int) -> None:
    """Show all about a job, and each attempt at it.

    Where it is, who has it and since when; of each attempt when it was made, where, by which
    command, how it ended, what it needed, where its log and its files are.
    """
    with opened(jobs, verbose) as share:
        found = _about(share, name)
    if as_json:
        show_json(_rounded(found))
        return
    for line in _lines(found):
        show(line)


def _rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    """Times as exact as they are meant; what jobs were given and have told as it is."""
    told: dict[str, Any] = rounded(dict(found))
    for shown, whole in zip(told["attempts"], found["attempts"], strict=True):
        shown |= {name: whole[name] for name in ("params", "result") if name in whole}
    return told


def _about(share: Share, job: str) -> dict[str, Any]:
    if unsafe_name(job) is not None:
        raise ConfigurationError(f"{job!r} can't be the name of a job.")
    places = [(place, entry_at(share, place)) for place in locate(share, job)]
    notes = attempts.read(share, job)
    logs = logs_of(share, job)
    # What was put in the place of a job is told of with its notes; else it was none.
    if not places or not (notes or logs or any(entry for _, entry in places)):
        known = "though it has been: see its notes and logs" if notes or logs else ""
        raise unknown(share, job, "show", known)
    history = read_history(share, TERMINAL)
    decisive = next(filter(None, (history.decisive(place) for place, _ in places)), None)
    records = history.attempts_at(job)
    found: dict[str, Any] = {
        "job": job,
        "places": [],
        "attempts": [attempt(record, counts=record is decisive) for record in records],
        "notes": [note for note in notes if not _is_recorded(note, records)],
    }
    for place, entry in places:
        about = _place(share, place, entry or place.job)
        found["places"].append({**about, "state": history.state(place)})
    return {**found, "logs": [_log(log) for log in logs]}


def _place(share: Share, place: JobFile, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "state": place.state,
        "path": place.path,
        "size": entry.size,
        "modified": iso(entry.mtime),
    }
    if place.folder != RUNNING:
        return {**found, **({"parked_by": place.worker} if place.worker else {})}
    found["worker"] = place.worker or None
    heard = _holder(share, place.worker)
    if heard is not None:
        process = heard.heartbeat.process
        told = heard.heartbeat.held_for.get(place.job.name)
        found |= {
            "worker_state": str(heard.state),
            "host": process.host,
            "pid": process.pid,
            "heartbeat_age": heard.age,
            "seconds": None if told is None else told + (heard.age or 0.0),
        }
    return found


def _holder(share: Share, worker: str) -> Heard | None:
    entries = [e for e in share.listed(WORKERS) if worker_of(e.name) == worker]
    heard = Inspector(this_process()).hear(share, entries)
    return min(heard, key=lambda one: (one.heartbeat.ended, not one.is_at_work), default=None)


def attempt(record: Record, *, counts: bool) -> dict[str, Any]:
    """An attempt as it is shown; `counts`: it is the one that ended the job."""
    told = {name: value for name, value in asdict(record).items() if value not in ("", None, [])}
    if record.git is not None:
        told["git"] = asdict(record.git)
    return {**told, "counts": counts}


def _is_recorded(note: Mapping[str, Any], records: Iterable[Record]) -> bool:
    """Whether a note tells why an attempt failed that has a record, which tells more."""
    reason, worker = str(note.get("reason", "")), note.get("worker")
    return any(
        record.worker == worker and record.reason and record.reason.startswith(reason)
        for record in records
    )


def _log(log: Log) -> dict[str, Any]:
    return {"path": log.path, "worker": log.worker, "modified": iso(log.entry.mtime)}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for place in found["places"]:
        size = "" if place["size"] is None else f", {place['size']:,} bytes"
        lines.append(f"{found['job']}: {place['state']} ({place['path']}{size})")
        lines += _holder_lines(place)
    deaths = [_death(note) for note in found["notes"] if note.get("died")]
    told = [*found["attempts"], *deaths]
    if told:
        lines.append("Attempts, the latest last:")
    lines += _attempts_lines(sorted(told, key=lambda one: time_of(one.get("ended", "")) or 0.0))
    notes = [note for note in found["notes"] if not note.get("died")]
    if notes:
        lines.append("Noted, the latest last:")
    for note in notes:
        worker = f"  {note['worker']}" if note.get("worker") else ""
        lines.append(f"  {_time(note.get('at', ''))}{worker}  {_in_one_line(note.get('reason'))}")
    known = {attempt.get("log") for attempt in found["attempts"]}
    return lines + [f"Log: {log['path']}" for log in found["logs"] if log["path"] not in known]


def _death(note: Mapping[str, Any]) -> dict[str, Any]:
    """An attempt that ended with its worker, which left no record: as a note tells."""
    worker, at = note.get("worker"), note.get("at", "")
    return {"worker": worker, "ended": at, "died": True, "reason": note.get("reason", "")}


def _attempts_lines(attempts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """All attempts at a job, numbered in their order; whoever cancels a job makes none."""
    number, taken_from = 0, set()
    for one in attempts:
        if _is_by_hand(one):
            worker = one.get("worker", "")
            taken_from.add(worker)
            was = f" (was running at {worker})" if worker else ""
            yield f"  -  cancelled by hand{was}, {_time(one.get('ended', ''))}"
            continue
        number = max(number + 1, one.get("attempt") or 0)
        yield from attempt_lines(one, number, is_cancelled=one.get("worker") in taken_from)


def _is_by_hand(attempt: Mapping[str, Any]) -> bool:
    """Whether a record is of the person who cancelled a job, and not of a worker."""
    return attempt.get("end") == CANCELLED and not attempt.get("host")


def attempt_lines(
    attempt: Mapping[str, Any], number: int = 1, *, is_cancelled: bool = False
) -> list[str]:
    """What `attempt` made, for people.

    Args:
        attempt: is told.
        number: of the attempt, from 1.
        is_cancelled: if its worker has lost the job, that is since a person has cancelled it.
    """
    end, why = attempt.get("end", "?"), ""
    if attempt.get("lost"):
        why = ", because the job was cancelled" if is_cancelled else ", and was somebody else's"
        end = "ended" if is_cancelled else end
    if attempt.get("died"):
        end, why = "begun", ", which died"
    seconds, memory, git = attempt.get("seconds"), attempt.get("memory"), attempt.get("git")
    took = "" if seconds is None else f" after {duration(seconds)}"
    worker, host = attempt.get("worker"), attempt.get("host")
    where = (f" by {worker}" if worker else "") + (f" on {host}" if host else "")
    reason = _in_one_line(attempt.get("reason"))
    details = {
        "why": reason,
        "command": typed(attempt.get("command", [])),
        "params": _pairs(attempt.get("params")),
        "result": _pairs(attempt.get("result")),
        "memory": "" if memory is None else f"{told_size(memory)} seen",
        "code": "" if git is None else git["commit"] + (", changed" if git["dirty"] else ""),
        "files": attempt.get("files", ""),
        "log": attempt.get("log", ""),
    }
    told = [f"  {number}  {end}{took}{where}{why}, {_time(attempt.get('ended', ''))}"]
    return told + [f"     {name:8}{text}" for name, text in details.items() if text]


def _time(told: str) -> str:
    """A time as a record or a note tells it, by the clock on this wall."""
    return clock_time(time_of(told)) or "at an unknown time"


def _in_one_line(text: object) -> str:
    return " ".join(str(text or "").split())


def _pairs(values: Mapping[str, Any] | None) -> str:
    return "  ".join(f"{name}={text_of(value)}" for name, value in (values or {}).items())


def _holder_lines(place: dict[str, Any]) -> list[str]:
    if not place.get("worker"):
        return []
    if "pid" not in place:
        return [f"  claimed by {place['worker']}, which never had a heartbeat"]
    age = place["heartbeat_age"]
    heartbeat = "of unknown age" if age is None else f"{duration(age, least=1)} ago"
    since = place["seconds"]
    time = "" if since is None else f" for {duration(since, least=1)}"
    return [
        f"  claimed by {place['worker']} on {place['host']} (process {place['pid']}){time}",
        f"  that worker is {place['worker_state']}; last heartbeat {heartbeat}",
    ]
