"""``dirjobs init``: the folders of a queue."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dirjobs.check import check
from dirjobs.check.record import record
from dirjobs.cli.commands.check import check_progress
from dirjobs.cli.options import (
    QueueCommand,
    Seconds,
    jobs_argument,
    json_option,
    opened_store,
    verbose_option,
)
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.text import show, show_json
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layers import with_retries
from dirjobs.layout import AGREEMENT, WAITING
from dirjobs.names import nonce
from dirjobs.policy import Mode, Policy, Settings, cautious
from dirjobs.protocol import folders, markers
from dirjobs.protocol.agreement import ID_LENGTH, from_bytes, further_keys, to_bytes
from dirjobs.protocol.folders import check_parent, linked_folders, make_folders
from dirjobs.protocol.share import Share
from dirjobs.shell import quoted

_MEANING = {
    Mode.TRUST: "This place is safe for a queue, and fast.",
    Mode.VERIFY: "This place is safe for a queue; looking twice costs some requests for each job.",
    Mode.SYNC: "This place is safe for a queue, if slow: each job waits, as changes are seen late.",
}
"""What a person has of a mode."""


@click.command(cls=QueueCommand)
@jobs_argument
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="How workers make sure of a job.  [default: what the folder or server warrants]",
)
@click.option(
    "--sync-time", type=Seconds(), help="Mode sync: how long changes take to be seen everywhere."
)
@click.option(
    "--check/--no-check", "tries", default=True, help="Try what the share guarantees, or don't."
)
@click.option(
    "--follow-links",
    is_flag=True,
    help="Let folders of the queue that are symbolic links of yours (or root's) be so.",
)
@json_option
@verbose_option
@told_in_one_sentence
def init(
    jobs: str,
    mode: str | None,
    sync_time: float | None,
    tries: bool,
    follow_links: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Make a queue: the folders in which jobs wait and end.

    JOBS is a folder or a URL; what is there already stays as it is.  The mode is best left
    out: what the share guarantees is tried then, within half a minute (`dirjobs check` takes
    longer and tells more), and the queue is set up accordingly.

    In a folder of this machine, symbolic links in the place of 00_waiting, logs, results and so
    on are refused: whoever may write to the queue could lead its workers anywhere.  Those that
    are there and are yours, or root's, are followed from now on with --follow-links.
    """
    if sync_time is not None and mode not in (None, Mode.SYNC):
        raise click.UsageError(f"--sync-time means nothing with --mode {mode}")
    with opened_store(jobs, verbose) as store:
        share = Share(with_retries(store))
        links = linked_folders(store) if follow_links else []
        if follow_links:
            store.follow(links)
        else:
            folders.follow_links(store)
        wish = Mode(mode) if mode else Mode.SYNC if sync_time is not None else None
        check_parent(store)
        if is_on_objects := isinstance(store, markers.Markers):
            if wish not in (None, Mode.TRUST):
                markers.check_policy(store, Policy(wish, sync_time or 0.0))
            markers.require_conditions(store, rounds=3)
        made = _make(share, wish, sync_time)
        url = store.url
        if problem := share.store.rename_problem(WAITING, "a name \u00e4.txt"):
            say(f"Mind the names of jobs: {problem}.")
        tried = None
        if tries and wish is None and not is_on_objects and not share.exists(AGREEMENT):
            say("trying what the share guarantees: some 10 s, half a minute by URL (--no-check).")
            with check_progress(in_lines=False) as tell:
                tried = record(store, check(jobs, short=True, tell=tell))
        if links:
            _note_links(share, links)
    if as_json:
        told = {} if tried is None else {"recorded": tried.to_json()}
        show_json({"queue": url, "made": made, **told})
        return
    show(f"{'Made' if made else 'There was already'} a queue in {url}.")
    if tried is not None:
        show(f"{_MEANING[tried.mode]}  {tried.sentence}")
    where = quoted(url)  # not what was typed, which may hold a password
    by_hand = f", or just put files into {WAITING}" if store.local_path(WAITING) else ""
    show(f"Add jobs with `dirjobs add {where} FILE...`{by_hand}.")


def _make(share: Share, mode: Mode | None, sync_time: float | None) -> bool:
    there = _is_there(share)
    make_folders(share)
    if mode is None:
        return not there
    wish = Settings(mode=mode, sync_time=sync_time).legal_policy(share.store.guarantees)
    try:
        agreed = from_bytes(share.read(AGREEMENT), wish)
    except NotFound:
        share.write(AGREEMENT, to_bytes(wish.with_legal_lease(), {"id": nonce(ID_LENGTH)}))
        return not there
    if (agreed.mode, agreed.sync_time) != (wish.mode, wish.sync_time):
        raise ConfigurationError(
            f"this queue works in mode {agreed.mode.value!r} with sync_time {agreed.sync_time:g}"
            f" already (see {AGREEMENT}): leave --mode and --sync-time out."
        )
    return not there


def _note_links(share: Share, links: Sequence[str]) -> None:
    for folder in links:
        share.list(folder)  # or it is said what is wrong with the link
    try:
        data = share.read(AGREEMENT)
        policy = from_bytes(data, cautious(share.store.guarantees))
        further = further_keys(data)
    except NotFound:
        policy, further = cautious(share.store.guarantees), {"id": nonce(ID_LENGTH)}
    share.write(AGREEMENT, to_bytes(policy, {**further, "links": links}))


def _is_there(share: Share) -> bool:
    try:
        return share.exists(WAITING)
    except NotFound:
        return False
