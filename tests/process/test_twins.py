"""Two processes are started with the same id at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dirjobs.layout import WAITING
from tests.amounts import amount
from tests.process.crew import ROOT, Place
from tests.servers.child import die_with_parent

ROUNDS = amount(3, 20)
JOBS = 8


class Twin:
    """A process that does what it is told."""

    def __init__(self, place, urls, log, host):
        orders = {"urls": urls, "options": place.options, "log": str(log), "host": host}
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.twin", json.dumps(orders)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
            text=True,
        )
        assert self.answer() == "ready"

    def tell(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.kill()
        self.process.communicate()


def both(twins, command):
    """What both answer; they are told before either is listened to."""
    for twin in twins:
        twin.tell(command)
    return [twin.answer() for twin in twins]


@pytest.mark.parametrize("hosts", [("", ""), ("pc-1", "pc-2")], ids=["one host", "two hosts"])
def test_twins(place, tmp_path, hosts, figures):
    """They are found out; never two jobs under one claim name, and never one job for two."""
    rounds = [
        Place(f"{place.url}-{number}", f"{place.root}-{number}", place.options["storage_options"])
        for number in range(ROUNDS)
    ]
    for each in rounds:
        each.fill(JOBS)
    twins, came = [], []
    urls = [each.url for each in rounds]
    try:
        for host, name in zip(hosts, "ab", strict=True):
            twins.append(Twin(place, urls, tmp_path / f"{name}.log", host))
        for each in rounds:
            answers = both(twins, "begin")
            came.append(sorted(answer for answer, _ in answers))
            taken = [job for jobs in both(twins, "work") for job in jobs]
            if came[-1] == ["in", "in"]:
                assert any("another worker uses the id" in twin.log.read_text() for twin in twins)
            for answer, why in answers:
                assert answer == "in" or "wid='w1' is in use by process" in why
            if came[-1] == ["refused", "refused"]:
                assert len(each.files(WAITING)) == JOBS
                assert taken == []
            else:
                each.assert_each_done_once(JOBS)
            assert len({claim for _, claim, _ in taken}) == len(taken)
            assert all(content == f"content of {name[3:-4]}" for name, _, content in taken)
            for twin in twins:
                twin.tell("end")
    finally:
        for twin in twins:
            twin.end()
    figures(
        f"{ROUNDS} rounds: one refused {came.count(['in', 'refused'])} times, both"
        f" {came.count(['refused', 'refused'])} times, both in {came.count(['in', 'in'])} times"
    )
