"""What the commands that change single jobs have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from dirjobs.admin.locate import Place
from dirjobs.cli.parallel import each
from dirjobs.console.text import Bar
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Driver, Steps
from dirjobs.recovery.visit import visiting

R = TypeVar("R")


def all_or_some(names: Sequence[str], everything: bool, option: str) -> None:
    """Refuse a command that names jobs and says `option` as well, or neither."""
    if bool(names) == everything:
        raise click.UsageError(f"name jobs, or write {option}")


def visit(
    driver: Driver,
    purpose: str,
    what: str,
    places: Sequence[Place],
    steps: Callable[[Claims, Place], Steps[R]],
) -> list[tuple[Place, R]]:
    """Do `steps` for each of `places`, by several threads under one name."""
    found: list[tuple[Place, R]] = []
    if not places:
        return found
    with visiting(driver, purpose) as presence, Bar(what, len(places)) as bar:
        claims = presence.claims
        told = claims.clock()
        for pair in each(driver, places, lambda place: steps(claims, place)):
            found.append(pair)
            bar.show(len(found))
            if claims.clock() - told > claims.terms.heartbeat:
                driver.run(presence.tell())
                told = claims.clock()
    return found


def counted(names: Sequence[str]) -> str:
    """``a.json is``, ``1,234 jobs are``."""
    return f"{names[0]} is" if len(names) == 1 else f"{len(names):,} jobs are"


def some(names: Sequence[str]) -> str:
    """``a, b, c and 7 more``."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
