"""Faults by script: which request, how often, and what happens to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from . import poison
from .messages import Answer, Disconnected, Request
from .wire import Wire

Kind = Literal[
    "answer_lost",
    "request_lost",
    "late",
    "twice",
    "status",
    "stalled",
    "drip",
    "cut",
    "garbage_xml",
    "truncated_xml",
    "login_page",
    "entity_bomb",
    "hostile_hrefs",
    "flood",
    "inner_status",
    "redirect",
    "body",
]


@dataclass(slots=True)
class Run:
    """One request that a fault happens to."""

    request: Request
    wire: Wire
    execute: Callable[[Request], Answer]
    note: Callable[[int | None], None]
    stopping: threading.Event

    def send(self, answer: Answer) -> None:
        self.note(answer.status)
        self.wire.send(answer)

    def cut(self, *, reset: bool = False) -> None:
        self.note(None)
        self.wire.cut(reset=reset)


@dataclass(eq=False)
class Fault:
    """What happens to the `nth` and following requests that match, `times` times.

    Args:
        kind: see README.md.
        method, path, destination: which requests; None: any.  Paths are relative and
            decoded, `*` and `?` as in a shell (`*` crosses slashes).
        nth: the first request (counted from 1) among those that match.
        times: how many of them; None: all.
        when: whether the request is executed before the fault shows ("after") or not.
        status: for "status", "late" (None: the connection is cut) and "inner_status".
        headers: of the answer, e.g. Retry-After.
        body, content_type: for "body" and "status".
        hrefs: for "hostile_hrefs", sent as they are.
        entries: how many "flood" lists.
        location: for "redirect"; ``{target}`` in it stands for the request's target.
        seconds: "late": execute after so long by a timer (None: at `release`);
            "drip": pause between two pieces.
        piece: bytes per piece of "drip".
    """

    kind: Kind
    method: str | None = None
    path: str | None = None
    destination: str | None = None
    nth: int = 1
    times: int | None = 1
    when: Literal["before", "after"] = "before"
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "text/plain; charset=utf-8"
    hrefs: Sequence[str] = ()
    entries: int = 1_000_000
    location: str = ""
    seconds: float | None = None
    piece: int = 64
    fired: int = field(default=0, init=False)
    """How many requests it happened to."""
    late_statuses: list[int] = field(default_factory=list, init=False)
    """What the late executions would have answered."""

    def __post_init__(self) -> None:
        self._seen = 0
        self._lock = threading.Lock()
        self._held: list[Callable[[], None]] = []
        self._released = threading.Event()
        self.arrived = threading.Semaphore(0)
        """One permit for each request that is held: `arrived.acquire(timeout=10)`."""
        self.held_from: set[tuple[str, int]] = set()
        """The clients' ends of the connections on which "stalled" is silent."""

    def wants(self, request: Request) -> bool:
        """Whether it happens to `request`; counts it."""
        target = request.destination_name
        if (
            self.method not in (None, request.method)
            or (self.path is not None and not fnmatchcase(request.name, self.path))
            or (self.destination is not None and not fnmatchcase(target or "", self.destination))
        ):
            return False
        with self._lock:
            self._seen += 1
            over = self.times is not None and self._seen >= self.nth + self.times
            if self._seen < self.nth or over:
                return False
            self.fired += 1
            return True

    def release(self) -> None:
        """Let what is held go on: stalled requests, and those to be executed late, which
        have been executed when this returns."""
        with self._lock:
            held, self._held = self._held, []
        for execution in held:
            execution()
        self._released.set()

    def play(self, run: Run) -> None:
        try:
            getattr(self, "_play_" + self.kind, self._play_poison)(run)
        except Disconnected:
            run.wire.close_connection = True

    # --- one method a kind --------------------------------------------------------------

    def _play_answer_lost(self, run: Run) -> None:
        run.execute(run.request)
        run.cut()

    def _play_request_lost(self, run: Run) -> None:
        run.cut(reset=True)

    def _play_late(self, run: Run) -> None:
        run.request.body.blob()

        def execution() -> None:
            self.late_statuses.append(run.execute(run.request).status)

        with self._lock:
            self._held.append(execution)
        if self.seconds is not None:
            timer = threading.Timer(self.seconds, self.release)
            timer.daemon = True
            timer.start()
        self.arrived.release()
        if self.status is None:
            run.cut()
        else:
            run.send(Answer.plain(self.status, headers=self.headers))

    def _play_twice(self, run: Run) -> None:
        run.request.body.blob()
        run.execute(run.request)
        run.send(run.execute(run.request))

    def _play_status(self, run: Run) -> None:
        if self.when == "after":
            run.execute(run.request)
        answer = Answer.plain(self.status or 503, headers=self.headers)
        if self.body is not None:
            answer.body, answer.kind = self.body, self.content_type
        run.send(answer)

    def _play_stalled(self, run: Run) -> None:
        """Executed before the silence ("after") or when it ends ("before")."""
        run.request.body.blob()
        answer = run.execute(run.request) if self.when == "after" else None
        self.held_from.add(run.wire.connection.getpeername())
        self.arrived.release()
        while not self._released.wait(0.02):
            if run.stopping.is_set():
                run.cut()
                return
        run.send(answer or run.execute(run.request))

    def _play_drip(self, run: Run) -> None:
        answer = run.execute(run.request)
        run.note(answer.status)
        for whole in run.wire.pieces(answer):
            for at in range(0, len(whole), self.piece):
                if run.stopping.wait(0.001 if self.seconds is None else self.seconds):
                    run.wire.cut()
                    return
                run.wire.connection.sendall(whole[at : at + self.piece])

    def _play_cut(self, run: Run) -> None:
        """Half of the body, or half of the head where there is no body."""
        answer = run.execute(run.request)
        head = len(run.wire.head(answer))
        left = head + answer.length // 2 if answer.length else head // 2
        run.note(answer.status)
        for piece in run.wire.pieces(answer):
            run.wire.connection.sendall(piece[:left])
            left -= len(piece)
            if left <= 0:
                break
        run.wire.cut()

    def _play_poison(self, run: Run) -> None:
        if self.when == "after":
            run.execute(run.request)
        run.send(poison.answer(self, run.request))


class Faults:
    """The script of one server."""

    def __init__(self) -> None:
        self._all: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self._all.append(fault)
        return fault

    def match(self, request: Request) -> Fault | None:
        """The first fault that wants `request`."""
        for fault in self._all:
            if fault.wants(request):
                return fault
        return None

    def clear(self) -> None:
        """Forget the script; what is held is never executed."""
        self.stop()
        self._all.clear()

    def stop(self) -> None:
        for fault in self._all:
            with fault._lock:
                fault._held.clear()

    def assert_all_fired(self) -> None:
        idle = [fault for fault in self._all if not fault.fired]
        assert not idle, f"faults that never fired: {idle}"
