"""What the options of several commands have in common."""

from __future__ import annotations

import base64
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from dirjobs.console.errors import show_log
from dirjobs.errors import ConfigurationError, DirJobsError, NotFound
from dirjobs.layers import Logged, with_retries
from dirjobs.layout import DONE, FAILED, RUNNING, WAITING, queue_around
from dirjobs.names import nonce
from dirjobs.policy import DEFAULT_TIMEOUT, seconds
from dirjobs.protocol import markers
from dirjobs.protocol.folders import follow_links
from dirjobs.protocol.outage import SameQueue
from dirjobs.protocol.share import Share
from dirjobs.redaction import URL_VARIABLE
from dirjobs.registry import open_store
from dirjobs.shell import SET, typed
from dirjobs.store import Store

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    _ParamType = click.ParamType[float]  # generic since click 8.4, for type checkers only here
else:
    _ParamType = click.ParamType


_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(text: str) -> float | None:
    """Seconds in ``90m`` and the like; None if that is no number with its unit."""
    found = _DURATION.fullmatch(text)
    return None if found is None else float(found[1]) * _UNITS[found[2]]


class Seconds(_ParamType):
    """A duration: a number, or one with its unit, such as ``90m``.

    Args:
        least: the shortest that makes sense.
        unit: of a number without one, and of what comes of it: ``s`` or ``h``.
    """

    name = "S"

    def __init__(self, least: float = 0.0, unit: str = "s") -> None:
        self._least = least
        self._unit = unit

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        name = param.opts[0] if param is not None else "seconds"
        told = _duration(str(value))
        try:
            number = float(str(value)) if told is None else told / _UNITS[self._unit]
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            what = "hours" if self._unit == "h" else "seconds"
            raise click.UsageError(
                f"{name}={value!r} must be a number of {what}, such as 70, or one with its unit,"
                " such as 90m or 2h",
                ctx,
            )
        try:
            return seconds(name, number, least=self._least)
        except ConfigurationError as error:
            raise click.UsageError(str(error), ctx) from None


class Duration(_ParamType):
    """A duration with its unit, such as ``30d``; in seconds."""

    name = "AGE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        name = param.opts[0] if param is not None else "duration"
        found = _duration(str(value))
        if found is None:
            raise click.UsageError(
                f"{name}={value!r} must be a number and its unit, such as 30d, 12h, 90m or 45s", ctx
            )
        return found


class QueueCommand(click.Command):
    """A command whose first argument is JOBS; left out, `with_queue` finds it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        full = with_queue(self, ctx, args)
        try:
            return super().parse_args(ctx, [*full])  # which it consumes
        except click.MissingParameter as error:
            raise _no_queue(self, ctx, args, full) or error from None


class TrailingCommand(click.Command):
    """Everything after the first ``--`` is a command, word for word; `click.Context.meta` has it.

    Args:
        may_be_missing: whether there need not be one.
    """

    def __init__(self, *arguments: Any, may_be_missing: bool = False, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._may_be_missing = may_be_missing

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["command"] = args[at + 1 :]
            args = args[:at]
        has_none = "command" not in ctx.meta and not self._may_be_missing
        full = with_queue(self, ctx, args)
        try:
            rest = super().parse_args(ctx, [*full])  # which it consumes
        except click.MissingParameter as error:
            raise _no_queue(self, ctx, args, full) or error from None
        except click.UsageError as error:
            raise self._no_dashes(ctx, args, full) or error from None
        if not ctx.resilient_parsing and (has_none or ctx.meta.get("command") == []):
            raise click.UsageError(
                f"the command to run is missing: write it after --, such as `dirjobs {self.name}"
                f" jobs/ -- {_EXAMPLES[self.name or '']}`",
                ctx,
            )
        _refuse_quoted(ctx)
        _refuse_encoded(ctx)
        return rest

    def _no_dashes(
        self, ctx: click.Context, args: list[str], full: list[str]
    ) -> click.UsageError | None:
        """What to tell somebody who has forgotten the ``--`` before the command; None if that
        is not what happened.

        Args:
            ctx: of the command line.
            args: that were typed.
            full: the same, with the queue.
        """
        if "command" in ctx.meta:
            return None
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        try:
            given, rest, _ = parser.parse_args(list(full))
        except click.UsageError:
            return None
        first: object = given.get("jobs")
        is_program = isinstance(first, str) and full is args and not looks_like_a_place(first)
        word = str(first) if is_program else next(iter(rest), "-")
        if not rest or word.startswith("-"):
            return None
        at = args.index(word)
        before, command = args[:at], args[at:]
        line = _shown(["dirjobs", self.name or "", *before, "--", *command])
        return click.UsageError(f"write -- before the command: `{line}`", ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        command = "COMMAND" if self.name != "work" else "COMMAND {}"
        return ["JOBS", "[OPTIONS]", f"[-- {command}]" if self._may_be_missing else f"-- {command}"]


_EXAMPLES = {"work": "python simulate.py {}", "submit": "python train.py --lr 0.1"}


def _refuse_quoted(ctx: click.Context) -> None:
    """Refuse a command that is one word, since somebody put quotes around all of it.

    Raises:
        UsageError: it is.
    """
    command = ctx.meta.get("command", ())
    words = command[0].split() if len(command) == 1 else []
    if len(words) > 1 and not os.path.exists(command[0]) and shutil.which(words[0]):
        raise click.UsageError(
            f"{command[0]!r} is one argument, and no program: write the command without the quotes",
            ctx,
        )


def _refuse_encoded(ctx: click.Context) -> None:
    """Refuse what PowerShell makes of a placeholder without quotes, which to it is a block of code:
    ``-encodedCommand BASE64 -inputFormat xml -outputFormat text``.

    Raises:
        UsageError: there is one.
    """
    command = ctx.meta.get("command", ())
    for at, word in enumerate(command[:-2]):
        if word.lower() != "-encodedcommand" or command[at + 2].lower() != "-inputformat":
            continue
        try:
            block = base64.b64decode(command[at + 1], validate=True).decode("utf-16-le")
        except ValueError:
            block = ""
        raise click.UsageError(
            f"PowerShell takes {{{block}}} for code: write '{{{block}}}', with quotes around it",
            ctx,
        )


_PLAIN_WORD = re.compile(r"[\w./:@%+,={}-]+")


def _shown(words: Iterable[str]) -> str:
    """A command line as a person types it: the braces of placeholders need no quotes."""
    return " ".join(word if _PLAIN_WORD.fullmatch(word) else typed([word]) for word in words)


def _no_queue(
    command: click.Command, ctx: click.Context, args: list[str], full: list[str]
) -> click.UsageError | None:
    """What to tell somebody whose arguments name no queue; None if they do, and something else is
    missing.

    Args:
        command: which one.
        ctx: of the command line.
        args: that were typed.
        full: the same, with the queue if one was found.
    """
    found: object = _given(command, ctx, full).get("jobs")
    first = found if isinstance(found, str) else ""
    if full is not args or looks_like_a_place(first):
        return None
    wanted = [param for param in command.params if isinstance(param, click.Argument)][1:]
    rest = [first] if first else [p.metavar or "" for p in wanted if p.required]
    line = _shown(["dirjobs", command.name or "", "FOLDER-OR-URL", *rest])
    return click.UsageError(f"say which queue: `{line}`, or {SET} {URL_VARIABLE}=...", ctx)


def with_queue(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """The arguments of `command`, with the queue that they name by ``-q``; if they name none,
    with that of `DIRJOBS_URL`, else with the one in which the current folder is.

    Where other arguments follow, the first one is the queue if it looks like a place: a
    URL, a folder, or anything with a slash in it that is no file.
    """
    given = _given(command, ctx, args)
    queue = given.get("queue")
    if isinstance(queue, str):
        return [queue, *args]
    if ctx.resilient_parsing or _names_a_queue(command, given):
        return args
    found = os.environ.get(URL_VARIABLE) or (_queue_here() if command.name != "init" else None)
    return args if not found else [found, *args]


def _given(command: click.Command, ctx: click.Context, args: list[str]) -> dict[str, Any]:
    """What the arguments say, by parameter; that they ask for help if they make no sense, which
    is to be told properly."""
    try:
        return dict(command.make_parser(ctx).parse_args(list(args))[0])
    except click.UsageError:
        return {"help": True}


def _names_a_queue(command: click.Command, given: Mapping[str, Any]) -> bool:
    if any(given.get(option) for option in ("help", "version")):
        return True
    first = given.get("jobs")
    if not isinstance(first, str):
        return False
    others = [param for param in command.params if isinstance(param, click.Argument)]
    return len(others) == 1 or looks_like_a_place(first)


def _queue_here() -> str | None:
    """The queue in which the current folder is; None if there is none."""
    try:
        return queue_around(os.getcwd())
    except OSError:  # somebody removed that folder
        return None


def looks_like_a_place(text: str) -> bool:
    """Whether `text` may be meant for a queue rather than for a file or a job's name."""
    if os.path.isfile(text):
        return False
    return "/" in text or "\\" in text or os.path.isdir(text)


def jobs_argument(command: F) -> F:
    """The queue, as argument ``jobs``, or as option ``-q``; see `with_queue`."""
    command = queue_option(expose_value=False)(command)
    return click.argument("jobs", shell_complete=_folders)(command)


def queue_option(**settings: Any) -> Callable[[F], F]:
    """``-q``, as argument ``queue``."""
    return click.option(
        "-q",
        "--queue",
        "queue",
        metavar="JOBS",
        shell_complete=_folders,
        help="The queue, instead of the first argument.",
        **settings,
    )


def file_argument(name: str, **settings: Any) -> Callable[[F], F]:
    """An argument that a shell completes with the names of files."""
    return click.argument(name, shell_complete=_files, **settings)


def job_argument(name: str, **settings: Any) -> Callable[[F], F]:
    """An argument that a shell completes with the names of jobs; those that need quotes in a
    shell are for the user to type."""
    return click.argument(name, shell_complete=_jobs, **settings)


_TAKE_JOBS = ("show", "logs", "retry", "requeue", "cancel", "download", "remove")
"""Commands whose first argument is a job where the queue is known."""
_PLAIN = "._-+@%,="
_COMPLETION_TAKES = 2.0
"""Seconds that a server has to answer somebody who presses TAB."""


def _jobs(ctx: click.Context, _param: click.Parameter, text: str) -> list[CompletionItem]:
    named = ctx.params.get("queue") or ctx.params.get("jobs") or ""
    if not isinstance(named, str) or not looks_like_a_place(named):
        named = os.environ.get(URL_VARIABLE) or _queue_here() or ""
    found: set[str] = set()
    with suppress(OSError, DirJobsError):  # no such queue, or none that answers: nothing to offer
        found.update(_names_of_jobs(named))
    return [
        CompletionItem(name)
        for name in sorted(found)
        if name.startswith(text) and _needs_no_quotes(name)
    ]


def _names_of_jobs(queue: str) -> Iterator[str]:
    if not queue:
        return
    with markers.renaming(open_store(queue, timeout=_COMPLETION_TAKES)) as store:
        for folder in (WAITING, RUNNING, DONE, FAILED):
            with suppress(NotFound):
                for entry in store.list(folder):
                    yield entry.name.partition(".")[2] if folder == RUNNING else entry.name


def _needs_no_quotes(name: str) -> bool:
    """Whether a name is a plain word to every shell: bash puts it in as it is, and runs it."""
    return name[:1].isalnum() and all(char.isalnum() or char in _PLAIN for char in name)


def _folders(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Folders, and jobs where a command takes them and the queue is known without its name."""
    folders = [CompletionItem(text, type="dir")]
    if ctx.command.name not in _TAKE_JOBS or param.name != "jobs" or looks_like_a_place(text):
        return folders
    return [*folders, *_jobs(ctx, param, text)]


def _files(_ctx: click.Context, _param: click.Parameter, text: str) -> list[CompletionItem]:
    return [CompletionItem(text, type="file")]


def verbose_option(command: F) -> F:
    """``-v``, as argument ``verbose``: 1 for what goes on, 2 for every store call."""
    help_text = "Say more; -vv: every call to the store."
    return click.option("-v", "--verbose", count=True, help=help_text)(command)


def scratch_option(command: F) -> F:
    """``--scratch``, as argument ``scratch``: where jobs work on this machine."""
    return click.option(
        "--scratch",
        metavar="DIR",
        help="Where jobs work, and results are kept until they are on the share."
        "  [default: $DIRJOBS_SCRATCH, or ~/.local/state/dirjobs]",
    )(command)


def key_file_option(command: F) -> F:
    """``--key-file``, as argument ``key_file``: the key of signed jobs."""
    return click.option(
        "--key-file",
        metavar="FILE",
        help="The key of signed jobs.  [default: $DIRJOBS_KEY_FILE, or the keyring]",
    )(command)


def json_option(command: F) -> F:
    """``--json``, as argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


@contextmanager
def opened(jobs: str, verbose: int = 0) -> Iterator[Share]:
    """A queue to look at or to intervene in: no worker is started, no folder is made.

    Args:
        jobs: a path or a URL.
        verbose: see `verbose_option`.

    Yields:
        the queue; its store repeats what may be repeated.

    Raises:
        ConfigurationError: there is no such queue.
        StoreError: it can't be reached.
    """
    with opened_store(jobs, verbose) as store:
        check_is_queue(store)
        follow_links(store)
        yield Share(SameQueue(with_retries(store)))


@contextmanager
def opened_store(jobs: str, verbose: int = 0) -> Iterator[Store]:
    """The store at `jobs`, whether it has a queue or not; as `opened`."""
    show_log(verbose)
    store = open_store(jobs, timeout=DEFAULT_TIMEOUT)
    try:
        yield markers.renaming(Logged(store) if verbose > 1 else store)
    finally:
        store.close()


def default_wid() -> str:
    """A worker id that no other process on any machine is likely to have."""
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", platform.node().partition(".")[0])[:26]
    # Containers may have the same name, and the same process number in it.
    return f"{host.strip('-') or 'worker'}-{os.getpid()}-{nonce(4)}"


def check_is_queue(store: Store) -> None:
    """Refuse a place that has no ``00_waiting``: most likely its name was mistyped.

    Raises:
        ConfigurationError: it has none.
        StoreError: that can't be found out.
    """
    try:
        there = with_retries(store).exists(WAITING)
    except NotFound:
        there = False
    if not there:
        raise ConfigurationError(
            f"{store.url!r} is not a queue: it has no folder {WAITING}; check the spelling,"
            " or make it one with `dirjobs init`."
        )
