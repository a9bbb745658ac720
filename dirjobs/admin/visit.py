"""Changing many jobs, one after the other, as somebody who has joined the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.parallel import each
from dirjobs.errors import Denied, FileStays, JobsRefused, StoreError
from dirjobs.layout import JobFile
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import temporary_member

R = TypeVar("R")

MOST_REFUSED = 4
"""After so many files that the store does not let go it is about the store."""


def visit(
    share: Share,
    purpose: str,
    what: str,
    places: Sequence[JobFile],
    change: Callable[[Parts, JobFile], R],
    choose: Callable[[Parts, Sequence[JobFile]], Sequence[JobFile]] = lambda _, places: places,
    *,
    audience: Audience = LOG,
) -> list[tuple[JobFile, R]]:
    """Change each of `places` that may be changed, by several threads under one name.

    Args:
        share: the queue.
        purpose: what the name of those begins with who do it.
        what: is done to the jobs, such as ``retrying``.
        places: where the jobs are.
        change: does it to one of them.
        choose: those that may be changed.
        audience: sees how far it is.

    Returns:
        each place that was visited, and what `change` gave.

    Raises:
        JobsRefused: the store does not let go of some of them; the others were changed.
        StoreError: it is away, or lets go of hardly any.
    """
    found: list[tuple[JobFile, R]] = []
    refused: dict[str, StoreError] = {}
    if not places:
        return found
    with temporary_member(share, purpose) as member, audience.progress(what, len(places)) as bar:
        places = choose(member.parts, places)
        told = share.now()

        def changed(share: Share, place: JobFile) -> R | None:
            try:
                return change(member.parts.over(share), place)
            except (Denied, FileStays) as error:  # the others don't wait
                refused[place.job.name] = error
                if len(refused) >= MOST_REFUSED:
                    raise
                return None

        for place, result in each(share, places, changed):
            if place.job.name not in refused:
                found.append((place, cast("R", result)))
            bar.show(len(found))
            if share.now() - told > member.me.policy.heartbeat:
                member.incarnations.tell()
                told = share.now()
    if refused:
        raise JobsRefused.of(refused, "moved")
    return found
