"""Whatever is read that others wrote: only the errors that the contract names, and soon."""

from __future__ import annotations

import secrets
import sys

import pytest

from tests.amounts import THOROUGH, amount
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.run import TooSlow, alarm, attempt, run

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a timer of the process ends what takes too long"
)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs(kind: str) -> None:
    # The same inputs each time, so that nobody's change is blamed for what it did not do; the
    # command takes others.
    seed = secrets.token_hex(4) if THOROUGH else "suite"
    report = run(kind, seed, amount(10_000, 1_000_000), amount(1, 600))
    assert not report.faults, str(report)
    assert report.inputs
    print(report)


FOUND = {
    "param": ["seed=" + "9" * 20_000 + "x..5", "seed=" + "1" * 20_000 + ".." + "1" * 20_000],
    "url": ["http://host/\udcff", "http://u%ff@host/", "http://xn--p/", "smb://n%ff/s/\ud800"],
    "proxy": ["http://xn--p:3128", "sock\udcffs5h://p:1"],
    "propfind": [
        b'<D:multistatus xmlns:D="DAV:"><D:response><D:propstat><D:prop/><D:status>HTTP/1.1 %s'
        b"</D:status></D:propstat></D:response></D:multistatus>" % (b"2" * 5000)
    ],
    "http": [
        b'HTTP/1.1 401 Who\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm="a", nonce="b",'
        b" qop=\r\n\r\n"
    ],
    "socks": [[b"\x05"], [b"\x05\x00", b"\x05\x00\x00\x09"]],
}
"""By kind: what was once read as it should not."""


@pytest.mark.parametrize("kind", FOUND)
def test_what_was_found(kind: str) -> None:
    with alarm():
        for made in FOUND[kind]:
            assert attempt(KINDS[kind], made)[1] == ""


def test_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: int) -> None:
        if data == 3:
            raise ValueError("three")
        while data == 5:
            pass

    monkeypatch.setattr("tests.fuzz.run.SECONDS", 0.05)
    monkeypatch.setitem(KINDS, "numbers", Kind(lambda dice: dice.randrange(7), read, (KeyError,)))
    report = run("numbers", "1", 100)
    assert sorted(why.split()[0] for why in report.faults) == ["TooSlow", "ValueError"]
    assert sorted(report.faults.values()) == ["3", "5"]
    assert TooSlow.__name__ in str(report)
