"""The process in which a worker runs calls, one after the other: what they import stays.

It gets one request on each line of its standard input, and tells on its standard output when a
call has ended: a `mark`, which a program prints by no accident, and a line of JSON.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec

from dirjobs.functions.arguments import digest_of
from dirjobs.functions.calls import (
    Header,
    NotACall,
    Raised,
    Returned,
    load_value,
    packages_problem,
    read_header,
    unpack,
    value_tag,
    write_value,
)
from dirjobs.recovery.process import has_children

MARK = b"\x1edirjobs "
VALUE, ERROR, UNFIT = "value", "error", "unfit"
_LONGEST_REASON = 2000
_LONGEST_TEXT = 200
_MOST_COLUMNS = 50


class Request(msgspec.Struct, kw_only=True):
    """What is asked of the process.

    Attributes:
        token: makes the end's mark unlike any that was before.
        call: path of the job's file.
        stored: paths of what is stored beside it, by digest.
        value: path for the value.
        environment: variables of this call.
    """

    token: str
    call: str
    stored: dict[str, str]
    value: str
    environment: dict[str, str]


class Reply(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        end: `VALUE`, `ERROR`, or `UNFIT`: it can't be run here, and may be run elsewhere.
        reason: why it failed, in one line.
        result: the value as a row of a table, if it is one.
        leftovers: processes that it has started run on.
    """

    end: str
    reason: Annotated[str, msgspec.Meta(max_length=_LONGEST_REASON)] = ""
    result: dict[str, Any] = {}
    leftovers: bool = False


def mark(token: str) -> bytes:
    """What stands before a reply."""
    return MARK + token.encode() + b" "


def main() -> None:
    """Run calls until standard input is closed."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.set_inheritable(replies, False)
    if "" not in sys.path:
        sys.path.append("")  # at the end: a module of the user's, but none instead of another one
    variables, folder = dict(os.environ), os.getcwd()
    for line in requests:
        request = msgspec.json.decode(line, type=Request)
        os.environ.update(request.environment)
        reply = _run(request)
        reply.leftovers = has_children()
        _flush()
        _write(replies, mark(request.token) + msgspec.json.encode(reply) + b"\n")
        os.environ.clear()
        os.environ.update(variables)
        with suppress(OSError):
            os.chdir(folder)


def _run(request: Request) -> Reply:
    def content_of(digest: str) -> bytes:
        with open(request.stored[digest], "rb") as file:
            data = file.read()
        if digest_of(data) != digest:
            raise NotACall(f"the stored argument {digest[:8]}... was changed")
        return data

    with open(request.call, "rb") as file:
        header = read_header(file)
        try:
            function, arguments, keywords = unpack(file, content_of)
        except Exception as error:  # noqa: BLE001 - code of others
            return Reply(end=UNFIT, reason=_line(packages_problem(header, error)))
    outcome = _outcome(function, arguments, keywords)
    del function, arguments, keywords
    return _hand_in(request.value, header, outcome)


def _outcome(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> Returned | Raised:
    try:
        return Returned(function(*arguments, **keywords))
    except Exception as error:  # noqa: BLE001 - it is raised again where the call comes from
        return raised(error)
    except BaseException as error:  # noqa: BLE001 - the same; but it is nobody's Ctrl-C there
        return raised(error)._replace(error=None)


def raised(error: BaseException) -> Raised:
    """An exception as it comes back."""
    if error.__traceback__ is not None:  # the first frame is ours
        error.__traceback__ = error.__traceback__.tb_next
    told = _line("".join(traceback.format_exception_only(error)))
    text = "".join(traceback.format_exception(error))
    with suppress(Exception):  # whatever a call has put there, or closed
        sys.stderr.write(text)
    error.__traceback__ = None
    return Raised(error, told, text)


def _hand_in(path: str, header: Header, outcome: Returned | Raised) -> Reply:
    if isinstance(outcome, Returned):
        try:
            _write_value(path, outcome)
        except Exception as error:  # noqa: BLE001 - code of others: of the value's class
            kind = type(outcome.value).__qualname__
            told = f"the value of {header.function}, a {kind}, can't be pickled: {_told(error)}"
            outcome = Raised(None, _line(told), "")
        else:
            return Reply(end=VALUE, result=as_row(outcome.value))
    try:
        _write_value(path, outcome)
        _check_loads(path)
    except Exception:  # noqa: BLE001 - code of others: of the exception's class
        outcome = outcome._replace(error=None)
        _write_value(path, outcome)
    return Reply(end=ERROR, reason=_line(outcome.told))


def _write_value(path: str, outcome: Returned | Raised) -> None:
    with open(path, "wb") as file:
        write_value(file, outcome)


def _check_loads(path: str) -> None:
    """Many exceptions can be pickled, but not be loaded again."""
    with open(path, "rb") as file:
        value_tag(file)
        load_value(file)


def as_row(value: object) -> dict[str, Any]:
    """A value as a row of a table of results; empty if it is none."""
    if isinstance(value, dict):
        row = {
            key: found
            for key, one in value.items()
            if isinstance(key, str) and (found := _cell(one)) is not None
        }
        return row if len(row) == len(value) <= _MOST_COLUMNS else {}
    cell = _cell(value)
    return {} if cell is None else {"value": cell}


def _cell(value: object) -> Any:
    if (
        type(value).__module__ == "numpy"
        and hasattr(value, "item")
        and not hasattr(value, "__len__")
    ):
        value = value.item()
    if isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 4]} ..."


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # whatever a call has put there, or closed
            stream.flush()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


if __name__ == "__main__":
    main()
