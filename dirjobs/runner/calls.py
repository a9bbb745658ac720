"""Calls of functions, run for `dirjobs work --functions` by processes that live longer than one.

Each slot has a process of its own (see `dirjobs.functions.interpreter`): what it has imported is
there for the next call.  It ends with whatever a command ends with: a timeout, too much memory, a
worker that is stopped; and when a call has left processes running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from threading import Event, Lock, Thread
from typing import Any, BinaryIO, NamedTuple

import msgspec

from dirjobs import local_files, threads
from dirjobs.clock import utc_now
from dirjobs.files.output_buffer import OutputBuffer
from dirjobs.files.workspace import make, new_note
from dirjobs.functions.arguments import Cache
from dirjobs.functions.calls import Header
from dirjobs.functions.interpreter import ERROR, UNFIT, Reply, Request, mark
from dirjobs.names import nonce
from dirjobs.redaction import without_secrets
from dirjobs.runner.process import CannotStart, Processes, outcome

INLINE = 4096
"""Bytes of a value that go into the journal; a larger one is a file among the results."""
_PIECE = 1 << 16
_LONGEST_REPLY = 1 << 20
_LAST_WORDS = 1.0
_REPLIES = msgspec.json.Decoder(Reply)


Known = Callable[[int], AbstractContextManager[None]]
"""Lets others know a process group for a while."""


class Unfit(Exception):
    """A call can't be run here; elsewhere it may."""


class Interpreter:
    """One process that runs calls.

    Args:
        environment: its variables.
        changed: called, in another thread, when it has ended.
        nice: by how much its priority is lower than this process's.

    Raises:
        OSError: the operating system refuses.
    """

    def __init__(
        self, environment: Mapping[str, str], changed: Callable[[], None], nice: int = 0
    ) -> None:
        self._lock = Lock()
        self._call: CallRun | None = None
        self.known = ExitStack()
        """Where its process group is known, until it has ended."""
        ours, theirs = os.pipe()
        try:
            self._reader = Thread(
                target=self._read,
                args=(os.fdopen(ours, "rb", buffering=0),),
                name="dirjobs-replies",
                daemon=True,
            )
            self.processes = Processes(
                # -P: a file in the current folder is taken for no module of Python's.
                [sys.executable, "-P", "-m", "dirjobs.functions.interpreter"],
                environment,
                output=theirs,
                takes_input=True,
                nice=nice,
                ended=changed,
            )
        finally:
            os.close(theirs)
        threads.start(self._reader)

    def stop(self, hurried: Callable[[], bool]) -> bool:
        """End it, and what it has started; see `Processes.stop`."""
        stopped = self.processes.stop(hurried)
        self.known.close()
        return stopped

    def run(self, call: CallRun, request: Request) -> None:
        """Begin a call."""
        with self._lock:
            self._call = call
        self.processes.send(msgspec.json.encode(request) + b"\n")

    def _read(self, stream: BinaryIO) -> None:
        rest = b""
        with stream:
            while piece := os.read(stream.fileno(), _PIECE):
                with self._lock:
                    call = self._call
                if call is None:  # a thread that an earlier call has left prints something
                    continue
                rest = call.take(rest + piece)
                if call.reply is not None:
                    with self._lock:
                        self._call = None
                    call.has_replied()
            with self._lock:
                call = self._call
            if call is not None:
                call.output.write(rest)
                call.heard.set()


class CallRun:
    """One call at work; what `dirjobs.runner.process.Run` is for a program."""

    def __init__(
        self,
        interpreter: Interpreter,
        request: Request,
        output: OutputBuffer,
        changed: Callable[[], None],
        given_up: Callable[[], None],
    ) -> None:
        self.output = output
        self.reply: Reply | None = None
        self.heard = Event()
        """All that it has printed is there."""
        self._interpreter = interpreter
        self._changed = changed
        self._given_up = given_up
        self._mark = mark(request.token)
        interpreter.run(self, request)

    @property
    def group(self) -> int:
        """The number of its process group."""
        return self._interpreter.processes.group

    @property
    def ended(self) -> bool:
        """Whether it has ended, or its process has."""
        return self.reply is not None or self._interpreter.processes.ended

    @property
    def code(self) -> int | None:
        """The exit code of its process; minus a signal's number if that killed it; None while it
        runs, or goes on to the next call."""
        return None if self.reply is not None else self._interpreter.processes.code

    def reason(self) -> str:
        """Why the call failed, having ended; empty if it did not."""
        if self.reply is None:
            return outcome(self.code) or "its process ended before it had a value"
        return self.reply.reason

    def take(self, data: bytes) -> bytes:
        """Take in what its process prints; what may be the beginning of a reply is given back."""
        at = data.find(self._mark)
        if at >= 0:
            self.output.write(data[:at])
            line, end, _ = data[at + len(self._mark) :].partition(b"\n")
            if not end and len(line) < _LONGEST_REPLY:
                return data[at:]
            try:
                self.reply = _REPLIES.decode(line)
            except msgspec.MsgspecError as error:
                self.reply = Reply(end=ERROR, reason=f"its process told nonsense ({error})"[:1000])
            return b""
        kept = data.rfind(self._mark[:1], max(0, len(data) - len(self._mark)))
        if kept < 0 or not self._mark.startswith(data[kept:]):
            kept = len(data)
        self.output.write(data[:kept])
        return data[kept:]

    def has_replied(self) -> None:
        """All that it has printed is there, too."""
        self.heard.set()
        self._changed()

    def stop(self, hurried: Callable[[], bool]) -> bool:
        """End it if it still runs, and what it has left; see `Run.stop`."""
        if self.reply is not None and not self.reply.leftovers:
            return False
        self._given_up()
        return self._interpreter.stop(hurried)

    def hear_out(self) -> None:
        """Wait for the last of the output."""
        self.heard.wait(_LAST_WORDS)


class Functions:
    """The calls of a worker, and the processes that run them.

    Args:
        scratch: the local folder of all workspaces; one of them is for arguments that are stored
            beside calls.
        keep_env: hand on the secrets of this process's environment, too.
        nice: by how much the priority of calls is lower.
    """

    def __init__(self, scratch: str, *, keep_env: bool = False, nice: int = 0) -> None:
        note = new_note(queue="", queue_id="", job="", claim="", worker="calls", began=utc_now())
        self._workspace = make(scratch, note)
        self.cache = Cache(self._workspace.path_for("arguments"))
        self._keep_env = keep_env
        self._nice = nice
        self._known: Sequence[Known] = ()
        self._idle: dict[str, Interpreter] = {}
        """By slot."""
        self._lock = Lock()

    def known_by(self, *known: Known) -> None:
        """Let others know the process groups as long as these are there."""
        self._known = known

    def start(
        self,
        request: Request,
        output: OutputBuffer,
        changed: Callable[[], None],
    ) -> CallRun:
        """Begin a call in the process of its slot.

        Raises:
            CannotStart: the operating system refuses to start that.
        """
        slot = request.environment["DIRJOBS_SLOT"]

        def give_up() -> None:
            with self._lock:
                self._idle.pop(slot, None)

        with self._lock:
            interpreter = self._idle.get(slot)
            if interpreter is not None and interpreter.processes.ended:
                interpreter.stop(lambda: True)
                interpreter = None
            if interpreter is None:
                interpreter = self._idle[slot] = self._started(request.environment, changed)
        return CallRun(interpreter, request, output, changed, give_up)

    def _started(self, environment: Mapping[str, str], changed: Callable[[], None]) -> Interpreter:
        inherited = os.environ if self._keep_env else without_secrets(os.environ)
        variables = {**inherited, **environment}
        try:
            interpreter = Interpreter(variables, changed, self._nice)
        except OSError as error:
            raise CannotStart.of(sys.executable, error) from error
        for known in self._known:
            interpreter.known.enter_context(known(interpreter.processes.group))
        return interpreter

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for interpreter in idle.values():
            interpreter.processes.close_input()
        for interpreter in idle.values():
            interpreter.stop(lambda: True)
        self._workspace.remove()


class Value(NamedTuple):
    """What came of a call.

    Attributes:
        path: its file, see `dirjobs.functions.calls`.
        row: of a table of results; empty if it is none.
    """

    path: str
    row: Mapping[str, Any]


class Call:
    """A call that a job is, as what `dirjobs.runner.process.Program` is for commands.

    Args:
        functions: the processes.
        header: of the call.
        path: its file on this machine.
        stored: where arguments are that are stored beside it, by digest.
        value: path for its value.
    """

    def __init__(
        self, functions: Functions, header: Header, path: str, stored: Mapping[str, str], value: str
    ) -> None:
        self._functions = functions
        self._header = header
        self._path = path
        self._stored = dict(stored)
        self._value = value
        self._run: CallRun | None = None

    @property
    def keeps(self) -> bool:
        """Whether it may use checkpoints."""
        return self._header.keeps

    @property
    def params(self) -> dict[str, str]:
        """What stands in tables for its parameters."""
        return {"call": self._header.shown}

    well = "done"
    """How a run that has not failed has ended."""

    def command_for(self, _subject: object) -> list[str]:
        """Nothing: it is no command."""
        return []

    def shown(self, _command: Sequence[str]) -> str:
        """The call, for people."""
        return self._header.shown

    def taken_for_option(self, _command: Sequence[str]) -> str:
        return ""

    def start(
        self,
        _command: Sequence[str],
        environment: Mapping[str, str],
        output: OutputBuffer,
        changed: Callable[[], None],
    ) -> CallRun:
        """Begin it; see `Program.start`."""
        request = Request(
            token=nonce() + nonce(),
            call=self._path,
            stored=self._stored,
            value=self._value,
            environment=dict(environment),
        )
        with suppress(FileNotFoundError):  # of an attempt before
            local_files.unlink(self._value)
        self._run = self._functions.start(request, output, changed)
        return self._run

    @property
    def is_unfit(self) -> bool:
        """Whether it could not be run here, and may be run elsewhere."""
        reply = self._reply
        return reply is not None and reply.end == UNFIT

    def take_value(self) -> Value | None:
        """What came of it, a value or an exception; None if nothing did."""
        reply = self._reply
        return None if reply is None or self.is_unfit else Value(self._value, reply.result)

    @property
    def _reply(self) -> Reply | None:
        return None if self._run is None else self._run.reply
