"""``dirjobs clean``: the trash is emptied."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dirjobs.admin import clean as cleaning
from dirjobs.admin.clean import Found
from dirjobs.admin.parallel import read_all
from dirjobs.admin.visit import MOST_REFUSED
from dirjobs.cli.options import (
    Duration,
    QueueCommand,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json
from dirjobs.errors import Denied, FileStays, JobsRefused, StoreError
from dirjobs.layout import TRASH
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.share import Share
from dirjobs.store import Entry


@click.command(cls=QueueCommand)
@jobs_argument
@click.option(
    "--older-than",
    "age",
    type=Duration(),
    help="Only files written longer ago, such as 30d, 12h or 90m; 0d: all.",
)
@click.option("--dry-run", is_flag=True, help="Only say which files it would be.")
@json_option
@verbose_option
@told_in_one_sentence
def clean(jobs: str, age: float | None, dry_run: bool, as_json: bool, verbose: int) -> None:
    """Delete for good what is old in the trash.

    That is _queue/trash.  It is the only command that deletes files of jobs.  A file's age is by
    its time of modification and the share's clock: most stores don't change that when `dirjobs
    remove` moves it, so that a job written two months ago is two months old at once.  Links and
    folders in the trash stay.
    """
    if age is None:
        raise click.UsageError("say how old: --older-than 30d, or --older-than 0d for all")
    with opened(jobs, verbose) as share:
        found = cleaning.look(share, age)
        deleted = found.old if dry_run else _delete(share, found)
    names = sorted((entry.name for entry in deleted), key=natural_key)
    size = sum(entry.size or 0 for entry in deleted)
    left = sorted(found.left, key=natural_key)
    if as_json:
        which = "would_be_removed" if dry_run else "removed"
        show_json({which: names, "bytes": size, "left": left})
        return
    amount = f"{len(names):,} {'file' if len(names) == 1 else 'files'} ({size:,} bytes)"
    if dry_run:
        for name in names:
            show(name)
        show(f"{amount} would be removed." if names else "Nothing would be removed.")
    else:
        show(f"Removed {amount}." if names else "Nothing was removed.")
    if left:
        show(f"{len(left):,} more in {TRASH} left alone: younger than that, or no files.")


def _delete(share: Share, found: Found) -> Sequence[Entry]:
    """Delete the old files; those that were deleted.

    Raises:
        JobsRefused: the store does not let go of some of them; the others were deleted.
        StoreError: it is away, or lets go of hardly any.
    """
    refused: dict[str, StoreError] = {}

    def delete(share: Share, entry: Entry) -> bool:
        try:
            return cleaning.delete(share, entry.name, found.until)
        except (Denied, FileStays) as error:  # the others don't wait
            refused[entry.name] = error
            if len(refused) >= MOST_REFUSED:
                raise
            return False

    were = read_all(share, found.old, delete, TERMINAL, "removing")
    if refused:
        raise JobsRefused.of(refused, "removed")
    return [entry for entry, was in zip(found.old, were, strict=True) if was]
