"""The same call for many jobs, by several threads where each request takes its time."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event, Lock, Thread
from typing import NamedTuple, TypeVar

from dirjobs.admin.audience import LOG, Audience
from dirjobs.protocol.share import Share
from dirjobs.threads import start

T = TypeVar("T")
R = TypeVar("R")

THREADS = 4
READERS = 8
_AHEAD = 64


class _Outcome(NamedTuple):
    item: object = None
    result: object = None
    error: BaseException | None = None
    over: bool = False


def each(
    share: Share,
    items: Iterable[T],
    call: Callable[[Share, T], R],
    threads: int = THREADS,
) -> Iterator[tuple[T, R]]:
    """Call something for each item; gives the item and what came of it, in any order.

    The threads have connections of their own.  A local disk gains as well (four times at
    adding): it, too, has to be waited for.  What has begun when one of them fails, or when
    the caller goes away, is brought to its end.

    Raises:
        Exception: the first that any of the calls, or `items`, raised.
    """
    left = iter(items)
    outcomes: queue.Queue[_Outcome] = queue.Queue(_AHEAD)
    stop, lock = Event(), Lock()

    def work() -> None:
        store = share.store.another()
        mine = Share(store, share.sleep)
        try:
            while not stop.is_set():
                with lock:
                    item = next(left)
                outcomes.put(_Outcome(item, call(mine, item)))
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller is
            outcomes.put(_Outcome(error=error))
        finally:
            if store is not share.store:
                store.close()
            outcomes.put(_Outcome(over=True))

    at_work = 0
    for number in range(threads):
        try:
            start(Thread(target=work, name=f"dirjobs-{number}", daemon=True))
        except OSError:  # this machine has no room for more
            if not at_work:
                raise
            break
        at_work += 1
    error: BaseException | None = None
    try:
        while at_work:
            outcome = outcomes.get()
            if outcome.over:
                at_work -= 1
            elif outcome.error is not None:
                error = error or outcome.error
                stop.set()
            else:
                yield outcome.item, outcome.result  # type: ignore[misc]
    finally:
        stop.set()
        while at_work:  # so that nobody waits to tell us
            at_work -= outcomes.get().over
    if error is not None:
        raise error


def read_all(
    share: Share,
    items: Sequence[T],
    call: Callable[[Share, T], R],
    audience: Audience = LOG,
    what: str = "reading",
) -> list[R]:
    """What comes of a call for each item, in their order.

    Args:
        share: the queue.
        items: of which each is called for, by `READERS` threads.
        call: with a connection of the thread's own, and an item.
        audience: sees how far it is.
        what: is done.
    """
    found: dict[int, R] = {}

    def call_at(share: Share, at: int) -> R:
        return call(share, items[at])

    with audience.progress(what, len(items)) as bar:
        for at, result in each(share, range(len(items)), call_at, READERS):
            found[at] = result
            bar.show(len(found))
    return [found[at] for at in range(len(items))]
