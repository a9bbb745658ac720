"""The picture of a queue that `dirjobs watch`, and `dirjobs status` on a terminal, show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from dirjobs.admin.report import Failure, Overview, Seen, State
from dirjobs.console.text import brief_duration, clock_time, cut, printable
from dirjobs.console.words import how_long, remarks, shown_workers

_STYLES = {
    State.WORKING: "green",
    State.IDLE: "dim",
    State.STARTING: "cyan",
    State.SILENT: "yellow",
    State.DEAD: "bold red",
    State.ENDED: "dim",
    State.UNKNOWN: "yellow",
}
_WORST_FIRST = (
    State.DEAD,
    State.UNKNOWN,
    State.SILENT,
    State.ENDED,
    State.WORKING,
    State.STARTING,
    State.IDLE,
)
_PARTS = (
    ("done", "green"),
    ("failed", "red"),
    ("cancelled", "yellow"),
    ("running", "cyan"),
    ("waiting", "bright_black"),
)
_BLOCKS, _LETTERS = "█▓▚▒░", "#x->."
_MORE_JOBS = 3
_WIDE = 100
_FAILURES = 5
_NARROW = 8
"""Cells that a name gets at least."""
_EXIT_CODE = re.compile(r"^exit code \d+: ")


@dataclass(frozen=True)
class Board:
    """A queue at one moment, drawn as wide as the terminal.

    Args:
        found: what is shown.
        url: of the queue.
        at: when that was, seconds since the epoch by our own clock; None says nothing of it.
        height: lines it may have; None for as many as it takes.
        trouble: what keeps a newer picture away.
        hint: the last line.
        printed: the last line that a running job has printed, by job.
    """

    found: Overview
    url: str
    at: float | None = None
    height: int | None = None
    trouble: str = ""
    hint: str = ""
    printed: Mapping[str, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        found = replace(self.found, workers=shown_workers(self.found))
        marks = _LETTERS if options.ascii_only else _BLOCKS
        head = [self._title(width), bar(found, width, marks), legend(found, marks)]
        head += [_line(remark.text, remark.style) for remark in remarks(found)]
        if self.trouble:
            head.append(_line(self.trouble, "bold red"))
        tail = [Text(), _line(self.hint, "dim")] if self.hint else []
        rows, failures = None, found.failures[:_FAILURES]
        if self.height is not None:
            room = self.height - len(head) - len(tail)
            rows, number = divided(room, _rows(found.workers), len(failures))
            failures = failures[:number]
        yield from head
        if found.workers and rows != 0:
            yield Text()
            yield workers_table(found, width, rows, self.printed)
        if failures:
            yield Text()
            yield failures_table(failures, found.failed, width)
        yield from tail

    def _title(self, width: int) -> Text:
        time = clock_time(self.at)
        title = _line(self.url, "bold")
        title.truncate(max(1, width - len(time) - 2), overflow="ellipsis", pad=bool(time))
        return title.append(f"  {time}", "dim") if time else title


def divided(room: int, workers: int, failures: int) -> tuple[int, int]:
    """How many lines of workers and of failures go into `room`, each below a blank line and a
    headline, if there are so many: a third for the failures unless the workers want less."""
    around = 2
    left = room - around - workers if workers else room
    number = max(0, min(failures, max(left, room // 3) - around))
    rows = room - around - (number + around if number else 0)
    return max(0, min(workers, rows)), number


def bar(found: Overview, width: int, marks: str = _BLOCKS) -> Text:
    """Jobs in one bar, by how far they are; what there is at all has one cell."""
    text = Text(no_wrap=True)
    numbers = [getattr(found, part) for part, _ in _PARTS]
    over = found.done + found.failed + found.cancelled
    label = f" {100 * over // found.total:3} %" if found.total else ""
    cells = shares(numbers, max(1, width - len(label)))
    for (_, style), mark, share in zip(_PARTS, marks, cells, strict=True):
        text.append(mark * share, style)
    if not found.total:
        text.append(marks[-1] * width, _PARTS[-1][1])
    return text.append(label, "bold")


def shares(numbers: Sequence[int], width: int) -> list[int]:
    """`width` cells in proportion to `numbers`; one at least for what isn't 0, if they suffice."""
    total = sum(numbers)
    if not total:
        return [0 for _ in numbers]
    cells = [number * width // total for number in numbers]
    for at, number in enumerate(numbers):
        if number and not cells[at]:
            cells[at] = 1
    largest = max(range(len(cells)), key=cells.__getitem__)
    cells[largest] = max(0, cells[largest] + width - sum(cells))
    return cells


def legend(found: Overview, marks: str = _BLOCKS) -> Text:
    """How many jobs are where, each with its part of the bar."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if not found.total:
        return text.append("no jobs yet: `dirjobs add` brings some")
    for (part, style), mark in zip(_PARTS, marks, strict=True):
        number = getattr(found, part)
        if not number and part == "cancelled":
            continue
        text.append(f"{mark} ", style)
        text.append(f"{number:,} {part}   ", "" if number else "dim")
    return text.append(f"of {found.total:,}", "dim")


def workers_table(
    found: Overview, width: int, room: int | None = None, printed: Mapping[str, str] | None = None
) -> Group:
    """The workers and what they run.

    Args:
        found: has the workers in their order.
        width: of the terminal.
        room: lines that the table may have beside its headline; None for as many as it takes.
            Then jobs are folded first, and then workers that are well.
        printed: the last line that a running job has printed, by job.
    """
    workers = found.workers
    shown, left = fold(workers, room)
    each = 1
    for number in (2, _MORE_JOBS):
        if room is None or _rows(shown, number) + bool(left) <= room:
            each = number
    wide = width >= _WIDE
    named_by_host = all(worker.id.startswith(_short(worker.host)) for worker in workers)
    with_host = wide or (width >= 60 and not named_by_host)
    table = _table()
    table.add_column(
        "worker", style="bold", max_width=28 if wide else 20, no_wrap=True, overflow="ellipsis"
    )
    if with_host:
        table.add_column("host", max_width=24 if wide else 14, no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("heartbeat" if wide else "beat", justify="right", no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    if any(len(worker.jobs) > each for worker in shown):
        table.add_column("more", style="dim", no_wrap=True)
    table.add_column("runs", ratio=1, no_wrap=True, overflow="ellipsis")
    for worker in shown:
        host = [_line(_where(worker, wide))] if with_host else []
        cells = [_line(worker.id), *host, _state(worker), Text(_age(worker))]
        if not worker.jobs:
            table.add_row(*cells)
        for at, job in enumerate(worker.jobs[:each], 1):
            since = "" if job.seconds is None else brief_duration(job.seconds)
            more = f"+{len(worker.jobs) - each:,}" if at == each < len(worker.jobs) else ""
            folded = [Text(more)] if len(table.columns) > len(cells) + 2 else []
            long = how_long(found, job)
            runs = _Cell(
                job.job,
                "yellow" if long else "",
                before=f"{long}: " if long else "",
                after=(printed or {}).get(job.job, ""),
            )
            table.add_row(*cells, Text(since), *folded, runs)
            cells = [Text() for _ in cells]
    if not left:
        return Group(table)
    states = Counter(str(worker.state) for worker in left)
    told = ", ".join(f"{number:,} {state}" for state, number in states.items())
    return Group(table, _line(f"and {len(left):,} more: {told}", "dim"))


def fold(workers: Sequence[Seen], room: int | None) -> tuple[Sequence[Seen], Sequence[Seen]]:
    """The workers to show in `room` lines, in their order, and those for which there is none."""
    if room is None or len(workers) <= room:
        return workers, ()
    order = sorted(range(len(workers)), key=lambda at: _WORST_FIRST.index(workers[at].state))
    chosen = set(order[: max(0, room - 1)])
    shown = [worker for at, worker in enumerate(workers) if at in chosen]
    return shown, [worker for at, worker in enumerate(workers) if at not in chosen]


def failures_table(failures: Sequence[Failure], failed: int, width: int) -> Table:
    """The latest failures, the newest first."""
    table = _table()
    table.add_column("failed", no_wrap=True)
    latest = f"latest of {failed:,}" if failed > len(failures) else ""
    table.add_column(latest, no_wrap=True, overflow="ellipsis", max_width=max(16, width * 2 // 5))
    table.add_column("", style="red", ratio=1, no_wrap=True, overflow="ellipsis")
    for failure in failures:
        reason = _Cell(" ".join(failure.reason.split()), shorten=_without_code)
        table.add_row(clock_time(failure.at), _Cell(failure.job), reason)
    return table


@dataclass(frozen=True)
class _Cell:
    """What somebody else may have written, in as much room as it gets: nothing in it is obeyed.

    Attributes:
        text: a name, or the like.
        style: rich's name of its colour.
        before: stands before it, whole.
        after: is told after it, if there is room.
        shorten: makes `text` fit into so many cells.
    """

    text: str
    style: str = ""
    before: str = ""
    after: str = ""
    shorten: Callable[[str, int], str] = cut

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - len(self.before)
        line = _line(self.before + self.shorten(printable(self.text), room), self.style)
        if self.after:
            line.append(f"  {printable(self.after)}", "dim")
        yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        wide = cell_len(self.before + printable(self.text))
        if self.after:
            wide += cell_len(printable(self.after)) + 2
        return Measurement(min(wide, _NARROW), wide).with_maximum(options.max_width)


def _without_code(reason: str, room: int) -> str:
    """Why a job failed, without the exit code before what its program said if the two don't
    fit."""
    if cell_len(reason) <= room:
        return reason
    return _EXIT_CODE.sub("", reason) or reason


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="dim")


def _line(text: str, style: str = "") -> Text:
    """One line of what somebody else may have written: nothing in it is obeyed."""
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _rows(workers: Sequence[Seen], each: int = _MORE_JOBS) -> int:
    """The lines that workers take, with so many jobs each."""
    return sum(min(each, len(worker.jobs)) or 1 for worker in workers)


def _short(host: str) -> str:
    """A host's name without its domain; an address as it is."""
    return host if host[:1].isdigit() else host.partition(".")[0]


def _where(worker: Seen, wide: bool) -> str:
    host = _short(worker.host)
    return f"{host}:{worker.pid}" if wide and worker.pid else host


def _state(worker: Seen) -> Text:
    if worker.draining and worker.state in (State.WORKING, State.IDLE):
        return Text("draining", "yellow")
    return Text(str(worker.state), _STYLES[worker.state])


def _age(worker: Seen) -> str:
    if worker.state is State.UNKNOWN:
        return ""
    return "?" if worker.age is None else brief_duration(worker.age)
