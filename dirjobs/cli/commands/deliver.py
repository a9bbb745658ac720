"""``dirjobs deliver``: results and logs that were kept on this machine are handed in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import click

from dirjobs.cli.options import opened, queue_option, scratch_option, verbose_option
from dirjobs.console.errors import MISTAKE, explained, say, told_in_one_sentence
from dirjobs.console.text import show, show_table
from dirjobs.errors import ConfigurationError, DirJobsError, StoreError
from dirjobs.files.upload import Delivery
from dirjobs.files.workspace import Workspace, kept, place_of, scratch_folder
from dirjobs.files.workspace import opened as opened_workspace
from dirjobs.recovery.membership import new_member
from dirjobs.redaction import URL_VARIABLE
from dirjobs.runner.deliver import HandIn, check_is_same_queue, is_for


@click.command()
@click.argument("places", nargs=-1, metavar="[JOBS] [FOLDER]...")
@queue_option()
@click.option("--list", "as_list", is_flag=True, help="Only tell what is kept.")
@scratch_option
@verbose_option
@told_in_one_sentence
def deliver(
    places: tuple[str, ...],
    queue: str | None,
    as_list: bool,
    scratch: str | None,
    verbose: int,
) -> int:
    """Hand in results that could not be stored.

    When the share is away, or refuses, at the end of a job, `dirjobs work` keeps what the
    command has written and printed in a folder on its machine.  This brings it to the queue
    and, if the job is still claimed for that attempt, ends it as the command ended.  What is
    stored is removed here.  If somebody else has the job by now, or has ended it, its results
    stay where they are.

    JOBS is the queue, by default the one that each result is of; FOLDERs are those that
    `dirjobs work` and --list name, by default all on this machine.

    \b
    Exit codes:  0    nothing is kept any more
                 1    something stays here; the sentence about it says why
                 2    something is not right with the command line or the queue
    """  # noqa: D301 - click wants the very character
    queue, folders = _sorted(places, queue)
    with ExitStack() as stack:
        found = _found(folders, os.path.abspath(scratch) if scratch else scratch_folder())
        for workspace in found:
            stack.callback(workspace.close)
        if as_list:
            _list(found)
            return 0
        if queue is not None:
            return 1 if _hand_in(queue, found, bool(folders), verbose) else 0
        if not found:
            show("Nothing is kept on this machine.")
        return _to_each_queue(_by_queue(found), verbose)


def _sorted(places: Sequence[str], queue: str | None) -> tuple[str | None, list[str]]:
    """The queue, if one is named (by `queue`, or among the others), and the folders that are
    none."""
    folders = [place for place in places if os.path.isfile(os.path.join(place, "note.json"))]
    queues = [] if queue is None else [queue]
    queues += [place for place in places if place not in folders]
    if len(queues) > 1:
        raise ConfigurationError(
            f"{queues[1]!r} has no note.json, so it is no folder with results that were kept;"
            " `dirjobs deliver --list` tells which there are."
        )
    return (queues[0] if queues else os.environ.get(URL_VARIABLE)), folders


def _found(folders: Sequence[str], scratch: str) -> list[Workspace]:
    if not folders:
        return kept(scratch)
    found = []
    for folder in folders:
        workspace = opened_workspace(os.path.abspath(folder))
        if workspace is None:
            raise ConfigurationError(f"a worker is at work in {folder!r}, or its note is broken.")
        found.append(workspace)
    return found


def _by_queue(found: Sequence[Workspace]) -> dict[str, list[Workspace]]:
    queues: dict[str, list[Workspace]] = {}
    for workspace in found:
        queues.setdefault(workspace.note.queue, []).append(workspace)
    return queues


def _to_each_queue(queues: Mapping[str, Sequence[Workspace]], verbose: int) -> int:
    """Hand in to every queue there is, whatever is the matter with some; the exit code."""
    code = 0
    for url, workspaces in queues.items():
        try:
            if _hand_in(url, workspaces, True, verbose):
                code = max(code, 1)
        except (DirJobsError, StoreError) as error:
            if len(queues) == 1:
                raise
            say(explained(error))
            code = MISTAKE
    return code


def _list(found: Sequence[Workspace]) -> None:
    rows = []
    for workspace in found:
        note = workspace.note
        how = note.problem or "ended well"
        rows.append((workspace.path, note.job, how if note.ended else "interrupted", note.queue))
    if rows:
        show_table(rows, ("", "bold"))
    else:
        show("Nothing is kept on this machine.")


def _hand_in(url: str, workspaces: Sequence[Workspace], named: bool, verbose: int) -> int:
    """Hand in what is of one queue; the number of folders that stay.

    Args:
        url: of the queue.
        workspaces: some may be of other queues.
        named: none may: they were asked for.
        verbose: see `opened`.
    """
    with opened(url, verbose) as share:
        place, queue_id = place_of(share), Delivery(share).queue_id()
        for workspace in workspaces:
            if named or workspace.note.queue == place:
                check_is_same_queue(workspace.note, place, queue_id)
        ours = [one for one in workspaces if is_for(one.note, place, queue_id)]
        if not ours:
            show(f"Nothing is kept on this machine for {place}.")
            return 0
        member = new_member(share, "deliver")
        peers = member.announce()
        try:
            hand_in = HandIn(member, peers)
            stay = 0
            for workspace in ours:
                delivered = hand_in.hand_in(workspace)
                show(delivered.told)
                stay += not delivered.gone
        finally:
            member.end()
        return stay
