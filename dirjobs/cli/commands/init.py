"""``dirjobs init``: the folders of a queue."""

from __future__ import annotations

import os
import shlex
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
from dirjobs.policy import Mode, Settings, cautious
from dirjobs.protocol import folders
from dirjobs.protocol.agreement import ID_LENGTH, from_bytes, further_keys, to_bytes
from dirjobs.protocol.folders import linked_folders, make_folders
from dirjobs.protocol.share import Share
from dirjobs.store import Store

_MEANING = {
    Mode.TRUST: "A rename alone is a claim here: no mode is faster.",
    Mode.VERIFY: "Claims are looked at again here: a job costs some more requests.",
    Mode.SYNC: "Changes are seen late here: each claim waits until it is sure.",
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
    """Make a queue: the folders for waiting, running, done and failed jobs.

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
        _check_parent(store)
        made = _make(share, wish, sync_time)
        url = store.url
        if problem := share.store.rename_problem(WAITING, "a name \u00e4.txt"):
            say(f"Mind the names of jobs: {problem}.")
        tried = None
        if tries and wish is None and not share.exists(AGREEMENT):
            say("trying what the share guarantees: some 10 s, half a minute by URL (--no-check).")
            with check_progress() as tell:
                tried = record(store, check(jobs, short=True, tell=tell))
        if links:
            _note_links(share, links)
    if as_json:
        told = {} if tried is None else {"recorded": tried.to_json()}
        show_json({"queue": url, "made": made, **told})
        return
    show(f"{'Made' if made else 'There was already'} a queue in {url}.")
    if tried is not None:
        show(f"{tried.sentence}  {_MEANING[tried.mode]}")
    where = shlex.quote(url)  # not what was typed, which may hold a password
    by_hand = f", or just put files into {WAITING}" if store.local_path(WAITING) else ""
    show(f"Add jobs with `dirjobs add {where} FILE...`{by_hand}.")


def _check_parent(store: Store) -> None:
    """Refuse to make a queue where a share may be missing: it would be one of this machine.

    Raises:
        ConfigurationError: the folder around the queue is not there.
    """
    local = store.local_path("")
    if local is None or os.path.isdir(local):
        return
    parent = os.path.dirname(os.path.abspath(local))
    if not os.path.isdir(parent):
        raise ConfigurationError(
            f"there is no folder {parent!r} for this queue: mount the share it is on, or make the"
            f" folder with `mkdir -p {shlex.quote(parent)}`."
        )


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
