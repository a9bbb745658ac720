"""Listing a WebDAV folder: ours against webdav4's `ls`, on a real Apache.

    python -m benchmarks.webdav_listing [--names 1000,10000,50000] [--rounds 3]

The best of several rounds counts, both in the same run, in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from webdav4.client import Client

from dirjobs.backends.webdav import open_store
from tests.servers import apache


def best(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Seconds of the fastest call of each, called in turn."""
    fastest = [float("inf")] * len(calls)
    for _ in range(rounds):
        for number, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            fastest[number] = min(fastest[number], time.perf_counter() - begun)
    return fastest


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--names", default="1000,10000,50000")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    print(f"{'names':>8} {'dirjobs s':>10} {'webdav4 s':>10} {'ratio':>6}")
    with apache.running() as server:
        store = open_store(server.url, {"username": server.user, "password": server.password})
        client = Client(server.url, auth=(server.user, server.password), timeout=600)
        for count in (int(text) for text in given.names.split(",")):
            folder = f"n{count}"
            store.mkdir(folder)
            for number in range(count):
                (server.root / folder / f"job{number}.txt").touch()
            assert len(list(store.list(folder))) == len(client.ls(folder)) == count
            ours, theirs = best(
                given.rounds,
                lambda folder=folder: list(store.list(folder)),
                lambda folder=folder: client.ls(folder),
            )
            print(f"{count:>8} {ours:>10.3f} {theirs:>10.3f} {theirs / ours:>6.1f}")
        store.close()


if __name__ == "__main__":
    main()
