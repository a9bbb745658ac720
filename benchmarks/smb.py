"""SMB on a Samba of this machine: claims and listings, against what else there is.

    python -m benchmarks.smb [--claims 1000] [--listings 1000,10000,50000]

Prints ratios, so that a slow or busy machine does not matter much: everything is run in
turns and the best turn counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version

import fsspec
import smbclient
from smbprotocol.connection import Connection
from smbprotocol.file_info import FileRenameInformation
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    ShareAccess,
    SMB2SetInfoRequest,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from dirjobs import DirJobs
from dirjobs.backends.smb import open_store
from tests.servers.proxy import Proxy
from tests.servers.samba import Samba

TURNS = 3
CLAIMS = "DirJobs, mode trust"
Rename = Callable[[str, str], object]


def bare_compounds(samba: Samba) -> tuple[Rename, Callable[[], None]]:
    """The speed of light: smbprotocol's own messages on one connection, nothing checked."""
    connection = Connection(uuid.uuid4(), samba.host, samba.port)
    connection.connect()
    session = Session(connection, samba.user, samba.password, require_encryption=False)
    session.connect()
    tree = TreeConnect(session, rf"\\{samba.host}\{samba.share}")
    tree.connect()

    def rename(src: str, dst: str) -> None:
        opened = Open(tree, src.replace("/", "\\"))
        create, _ = opened.create(
            ImpersonationLevel.Impersonation,
            FilePipePrinterAccessMask.DELETE,
            0,
            ShareAccess.FILE_SHARE_READ,
            CreateDisposition.FILE_OPEN,
            CreateOptions.FILE_NON_DIRECTORY_FILE,
            send=False,
        )
        info = FileRenameInformation()
        info["replace_if_exists"] = False
        info["file_name"] = dst.replace("/", "\\")
        change = SMB2SetInfoRequest()
        change["info_type"] = 1
        change["file_info_class"] = 10
        change["file_id"] = b"\xff" * 16
        change["buffer"] = info
        close, _ = opened.close(send=False)
        messages = [create, change, close]
        for request in connection.send_compound(
            messages, session.session_id, tree.tree_connect_id, related=True
        ):
            connection.receive(request)

    return rename, connection.disconnect


def login(samba: Samba) -> dict[str, object]:
    return {"username": samba.user, "password": samba.password, "port": samba.port}


def claims(samba: Samba, count: int) -> None:
    """`count` renames from one folder to another, by each means, in turns."""
    for name in ("waiting", "running"):
        (samba.root / name).mkdir()
    base = rf"\\{samba.host}\{samba.share}"

    def by_smbclient(src: str, dst: str) -> None:
        there = [f"{base}\\{path}".replace("/", "\\") for path in (src, dst)]
        smbclient.rename(*there, **login(samba))

    bare, hang_up = bare_compounds(samba)
    with open_store(samba.url, samba.options) as store:
        means = {
            "SmbStore.rename": store.rename,
            "bare compounds": bare,
            "smbclient.rename": by_smbclient,
        }
        best = dict.fromkeys((CLAIMS, *means), 0.0)
        for _ in range(TURNS):
            best[CLAIMS] = max(best[CLAIMS], claim_rate(samba, count))
            for name, rename in means.items():
                best[name] = max(best[name], rate(samba, rename, count))
    hang_up()
    print(f"\nClaims and renames per second, one worker, {count} files, best of {TURNS}")
    for name, per_second in best.items():
        ratio = best[CLAIMS] / per_second
        print(f"  {name:<22}{per_second:>8,.0f}   a claim of DirJobs is {ratio:.2f} x as fast")
    trips(samba, count)
    jobs_trips(samba, count)


def claim_rate(samba: Samba, count: int) -> float:
    """Claims per second of a whole `DirJobs`, its listings and heartbeats included."""
    url = f"{samba.url}/{uuid.uuid4().hex}"
    with DirJobs(url, storage_options=samba.options, create=True) as dj:
        dj.add("first.txt")
        first = dj.next_and_lock()  # connects and announces the worker
        waiting = samba.root / url.rpartition("/")[2] / "00_waiting"
        for number in range(count):
            (waiting / f"job{number}.txt").touch()
        began = time.perf_counter()
        jobs = list(dj)
        taken = time.perf_counter() - began
        if first is None or len(jobs) != count or dj.mode != "trust":
            raise RuntimeError(f"{len(jobs)} of {count} jobs were claimed, in mode {dj.mode}")
        for job in (first, *jobs):
            job.done()
    return count / taken


def jobs_trips(samba: Samba, count: int) -> None:
    """Requests for a job's claim and its end, with all that a worker needs beside."""
    url = f"{samba.url}/{uuid.uuid4().hex}"
    with Proxy(samba.port) as proxy:
        with DirJobs(url, storage_options={**samba.options, "port": proxy.port}, create=True) as dj:
            waiting = samba.root / url.rpartition("/")[2] / "00_waiting"
            for number in range(count):
                (waiting / f"job{number}.txt").touch()
            for job in dj:
                job.done()
        print(f"  round trips per job, claim and end, one worker: {proxy.requests / count:.2f}")


def rate(samba: Samba, rename: Rename, count: int) -> float:
    for number in range(count):
        (samba.root / "waiting" / f"job{number}.txt").touch()
    rename("waiting/job0.txt", "running/w1.job0.txt")  # connects
    began = time.perf_counter()
    for number in range(1, count):
        rename(f"waiting/job{number}.txt", f"running/w1.job{number}.txt")
    taken = time.perf_counter() - began
    for path in (samba.root / "running").iterdir():
        path.unlink()
    return (count - 1) / taken


def trips(samba: Samba, count: int) -> None:
    """Requests per rename, as a proxy in between counts them."""
    with Proxy(samba.port) as proxy:
        with open_store(samba.url, {**samba.options, "port": proxy.port}) as store:
            for number in range(count):
                (samba.root / "waiting" / f"job{number}.txt").touch()
            store.exists("")
            before = proxy.requests
            for number in range(count):
                store.rename(f"waiting/job{number}.txt", f"running/w1.job{number}.txt")
            ours = (proxy.requests - before) / count
        options = {**login(samba), "port": proxy.port}
        base = rf"\\{samba.host}\{samba.share}\running"
        smbclient.stat(base, **options)
        before = proxy.requests
        smbclient.rename(rf"{base}\w1.job0.txt", rf"{base}\w2.job0.txt", **options)
        theirs = proxy.requests - before
        print(f"  round trips per rename: dirjobs {ours:.2f}, smbclient.rename {theirs}")
        smbclient.reset_connection_cache()


def listings(samba: Samba, counts: list[int]) -> None:
    """A folder of `counts` names: dirjobs, smbclient.scandir, fsspec's ls."""
    print(f"\nSeconds to list a folder with sizes and times, best of {TURNS}")
    print(
        f"  {'names':>7} {'dirjobs':>9} {'trips':>6} {'scandir':>9} {'ratio':>7} {'fsspec ls':>10}"
    )
    for count in counts:
        folder = samba.root / f"list{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"job{number:06}.txt").touch()
        line = one_listing(samba, folder.name, count)
        print(f"  {count:>7,} {line}")


def one_listing(samba: Samba, folder: str, count: int) -> str:
    unc = rf"\\{samba.host}\{samba.share}\{folder}"

    def scandir() -> int:
        with smbclient.scandir(unc, **login(samba)) as found:
            return sum(1 for entry in found if entry.smb_info)

    with (
        Proxy(samba.port) as proxy,
        open_store(samba.url, {**samba.options, "port": proxy.port}) as counted,
        open_store(samba.url, samba.options) as store,
    ):
        ours = theirs = float("inf")
        for _ in range(TURNS):
            ours = min(ours, seconds(lambda: len(list(store.list(folder))), count))
            theirs = min(theirs, seconds(scandir, count))
        counted.list("")
        before = proxy.requests
        counted.list(folder)
        trips = proxy.requests - before
    slow = "-"
    if count <= 1000:  # a request for each file
        smb = fsspec.filesystem("smb", host=samba.host, **login(samba), skip_instance_cache=True)
        taken = seconds(lambda: len(smb.ls(f"/{samba.share}/{folder}", detail=True)), count)
        slow = f"{taken:.3f}"
    return f"{ours:>9.3f} {trips:>6} {theirs:>9.3f} {theirs / ours:>6.1f}x {slow:>10}"


def seconds(call: Callable[[], int], expected: int) -> float:
    began = time.perf_counter()
    found = call()
    taken = time.perf_counter() - began
    if found != expected:
        raise RuntimeError(f"{found} names were listed, and there are {expected}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=1000)
    parser.add_argument("--listings", default="1000,10000,50000")
    chosen = parser.parse_args()
    print(
        f"{platform.platform()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f},"
        f" Python {platform.python_version()}, smbprotocol {version('smbprotocol')},"
        f" fsspec {fsspec.__version__}; Samba on loopback"
    )
    for kind in ({}, {"encrypt": True}):
        with Samba(**kind) as samba:
            print(f"\n== {'encrypted' if kind else 'plain (signed, as smbprotocol likes it)'}")
            claims(samba, chosen.claims)
            if not kind:
                listings(samba, [int(count) for count in chosen.listings.split(",")])
            smbclient.reset_connection_cache()


if __name__ == "__main__":
    main()
