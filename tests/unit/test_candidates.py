"""Which candidate comes next: order, window, new listings, filters, young files."""

import logging
import random
from dataclasses import replace

import pytest

from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layers import Layer
from dirjobs.layout import DONE, PARKED, WAITING
from dirjobs.policy import Mode, Order
from dirjobs.protocol.candidates import Candidates, natural_key
from dirjobs.store import Entry, FileKind
from dirjobs.testing.faults import Copying
from tests.unit.lives import POLICY, World


def entries(*names):
    return [Entry(name, 1.0, 1) for name in names]


def numbered(count):
    return entries(*(f"job{number}.txt" for number in range(count)))


def filled(listing, **options):
    candidates = Candidates(rng=random.Random(1), **options)
    candidates.fill(listing, 0.0, 1.0)
    return candidates


def drained(candidates, **options):
    return [entry.name for entry in iter(lambda: candidates.take(**options), None)]


def test_numbers_count_as_numbers():
    names = ["job10", "job9", "job1", "a", "job09b", "job 2", "10", "9", "job1000000000000"]
    assert sorted(names, key=natural_key) == [
        *("9", "10", "a", "job 2", "job1", "job9", "job09b", "job10", "job1000000000000")
    ]
    assert sorted(["a" + "9" * 500, "b", ""], key=natural_key) == ["", "a" + "9" * 500, "b"]


@pytest.mark.parametrize(
    "names",
    [
        ["lr0.1_seed1.json", "lr0.15_seed1.json", "lr0.2_seed1.json"],
        ["x0.1.json", "x0.15.json", "x0.2.json"],
        ["lr1.5e-05_a", "lr1e-4_a", "lr0.00015_a", "lr1e-3_b", "lr0.01_a", "lr1_a", "lr1.5_a"],
        ["n1e1_a", "n20_a", "n1e+2_a", "n200_a", "n1e5.json", "n2e5.json", "n1000000.json"],
        ["job1", "job1.5", "job2", "job10"],
        ["v1.2.3", "v1.2.10", "v1.10.1"],
        ["job-1", "job-2", "job-10"],
        ["a1e5b", "a1e6b", "a2b"],
        ["x0.10_a", "x0.1_b", "x0.100_c"],
    ],
)
def test_names_are_in_the_order_of_what_numbers_mean(names):
    backwards = list(reversed(names))
    assert sorted(backwards, key=natural_key) == names


@pytest.mark.parametrize("order", Order)
def test_every_job_is_offered_once_whoever_wins(order):
    rng = random.Random(5)
    for _ in range(20):
        candidates = filled(numbered(100), order=order)
        seen = []
        while (entry := candidates.take()) is not None:
            seen.append(entry)
            candidates.won() if rng.random() < 0.7 else candidates.lost(0.0)
        assert sorted(seen) == sorted(numbered(100))


def test_a_list_of_names_only_is_as_good():
    names = ["job10.txt", "notes.md", "job9.txt", "~job.txt"]
    in_full, by_name = filled(entries(*names), job_ext=".txt"), Candidates(job_ext=".txt")
    by_name.fill_with_names(names, 0.0, 1.0)
    assert drained(by_name) == drained(in_full) == ["job9.txt", "job10.txt"]


def test_one_worker_alone_keeps_the_order():
    candidates = filled(reversed(numbered(30)))
    seen = []
    while (entry := candidates.take()) is not None:
        seen.append(entry)
        candidates.won()
    assert seen == numbered(30)


def test_the_oldest_come_first_and_ties_in_natural_order():
    listing = [Entry("b", 2.0), Entry("j10", 1.0), Entry("j9", 1.0), Entry("c", None)]
    assert drained(filled(listing, order=Order.OLDEST)) == ["c", "j9", "j10", "b"]


def test_random_order_is_replayable_and_another_one():
    orders = {tuple(drained(filled(numbered(50), order=Order.RANDOM))) for _ in range(3)}
    assert len(orders) == 1
    assert orders != {tuple(entry.name for entry in numbered(50))}


def test_after_a_loss_it_goes_on_in_order_from_another_place():
    candidates = filled(numbered(1000))
    candidates.take()
    for _ in range(9):
        candidates.lost(0.0)
    first = int(candidates.take().name[3:-4])
    assert 1 < first < 1000
    following = []
    for _ in range(5):
        candidates.won()
        following.append(int(candidates.take().name[3:-4]))
    assert following == [first + step for step in range(1, 6)]


def test_the_window_stays_near_the_head_while_little_is_lost():
    candidates = filled(numbered(1000))
    candidates.lost(0.0)
    assert int(candidates.take().name[3:-4]) < 32


def test_new_listings_lead_back_to_the_head():
    candidates = filled(numbered(1000))
    for _ in range(10):
        candidates.lost(0.0)
    for _ in range(12):
        candidates.fill(numbered(1000), 1.0, 2.0)
    assert candidates.take().name == "job0.txt"


def test_four_workers_with_old_listings_lose_little():
    """Each has its own listing of the same jobs, and none sees what the others take."""
    there = {entry.name for entry in numbered(4000)}
    workers = [Candidates(rng=random.Random(seed)) for seed in range(4)]
    rng, lost, now = random.Random(2), 0, 0.0
    while there:
        worker = rng.choice(workers)
        if worker.used_up(now):
            worker.fill(entries(*there), now, now + 1e-5 * len(there))
            now += 1e-5 * len(there)
        entry = worker.take()
        if entry is None:
            continue
        now += 1e-5
        if entry.name in there:
            there.remove(entry.name)
            worker.won()
        else:
            lost += 1
            worker.lost(1e-5)
    assert lost < 800


# -- new listings -----------------------------------------------------------------------------


def test_a_listing_is_due_at_first_and_when_used_up():
    candidates = Candidates()
    assert candidates.used_up(0.0)
    candidates.fill(numbered(1), 0.0, 1.0)
    assert not candidates.used_up(1.0)
    candidates.take()
    assert candidates.used_up(1.0)
    assert candidates.take() is None


def test_a_listing_is_due_when_it_is_old():
    candidates = filled(numbered(9))
    assert not candidates.used_up(20.0)  # it took a second, so it may be 20 seconds old
    assert candidates.used_up(21.5)


def test_a_listing_is_due_when_losing_cost_more_than_listing():
    candidates = filled(numbered(9))
    candidates.lost(0.6)
    assert not candidates.used_up(1.0)
    candidates.lost(0.6)
    assert candidates.used_up(1.0)
    candidates.fill(numbered(9), 1.0, 2.0)
    assert not candidates.used_up(2.0)


def test_a_listing_is_due_when_nothing_is_won_any_more():
    candidates = filled(numbered(900))
    for _ in range(31):
        candidates.lost(0.0)
    assert not candidates.used_up(1.0)
    candidates.won()
    for _ in range(32):
        candidates.lost(0.0)
    assert candidates.used_up(1.0)


# -- what is left alone -----------------------------------------------------------------------


def test_folders_hidden_files_and_unwanted_jobs_are_left_alone():
    listing = [
        *entries(".a.txt", "~b.txt", "c.txt~", "d.txt", "e.txt"),
        Entry("f.txt", 1, None, FileKind.FOLDER),
    ]
    assert drained(filled(listing, job_ext=""), unwanted={"d.txt"}) == ["e.txt"]


def test_other_extensions_are_told_of_once(caplog):
    candidates = Candidates(job_ext=".txt")
    for _ in range(3):
        candidates.fill(entries(".hidden", "x.part", "a.dat", "b.dat", "c.txt"), 0.0, 1.0)
        assert drained(candidates) == ["c.txt"]
    (record,) = caplog.records
    assert "'a.dat'" in record.message
    assert "job_ext=''" in record.message


def test_files_that_nobody_takes_for_jobs_are_not_worth_a_word(caplog):
    drained(filled(entries(".hidden", "x.part", "c.txt"), job_ext=".txt"))
    assert caplog.records == []


def test_a_name_that_the_store_cannot_carry_is_reported_once(caplog):
    candidates = Candidates(name_problem=lambda name: "it is odd" if "odd" in name else None)
    for _ in range(3):
        candidates.fill(entries("odd\n", "odd2", "good"), 0.0, 1.0)
        assert drained(candidates) == ["good"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_filter_that_raises_is_named_and_explained():
    def broken(path, name):
        raise KeyError("size")

    candidates = filled(entries("a.txt"), job_filter=broken)
    with pytest.raises(
        ConfigurationError, match=r"^job_filter raised KeyError .* 'a\.txt'; it must"
    ):
        candidates.take()


def test_a_filter_may_be_interrupted():
    def interrupted(path, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled(entries("a.txt"), job_filter=interrupted).take()


# -- old listings -----------------------------------------------------------------------------


class Slow(Layer):
    """Whoever asks for ``a.txt`` is told after a minute that it is gone."""

    def __init__(self, store, meanwhile):
        super().__init__(store)
        self.meanwhile = meanwhile

    def rename(self, src, dst):
        if src == f"{WAITING}/a.txt":
            self.store.remove(src)
            self.meanwhile()
            raise NotFound(src)
        super().rename(src, dst)


def test_a_name_that_was_used_again_since_the_listing_is_a_new_job():
    """...for whom it takes longer than a listing is used to try another job before it."""
    world = World()
    for name in ("a.txt", "b.txt"):
        world.job(name)

    def meanwhile():
        world.now += 20
        world.store.rename(f"{WAITING}/b.txt", f"{DONE}/b.txt")
        world.now += 20
        world.job("b.txt")

    world.store = Slow(Copying(world.store), meanwhile)
    life = world.life("w1", policy=replace(POLICY, mode=Mode.VERIFY)).start()
    held = life.next()
    assert held is not None
    assert held.job.mtime == world.now
    assert world.names(PARKED) == []


# -- young files ------------------------------------------------------------------------------


def test_a_file_is_taken_when_it_was_seen_unchanged_for_long_enough():
    candidates = Candidates(min_age=10.0)
    candidates.fill([Entry("a", 1.0, 1)], 0.0, 100.0)
    assert candidates.take() is None
    assert candidates.ripe_at == 110.0
    candidates.fill([Entry("a", 1.0, 2), Entry("b", 1.0, 1)], 104.0, 105.0)  # it grew
    assert candidates.take() is None
    assert candidates.ripe_at == 115.0
    candidates.fill([Entry("a", 1.0, 2), Entry("b", 1.0, 3)], 114.0, 115.0)
    assert drained(candidates) == ["a"]
    assert candidates.ripe_at == 125.0
    candidates.fill([Entry("b", 1.0, 3)], 124.0, 125.0)
    assert drained(candidates) == ["b"]
    assert candidates.ripe_at is None


def test_a_file_that_grows_for_ever_is_not_waited_for_for_ever():
    candidates = Candidates(min_age=10.0)
    for tick in range(7):
        candidates.fill([Entry("log", 1.0, tick)], 9.0 * tick, 9.0 * tick)
        assert (candidates.ripe_at is None) is (9.0 * tick >= 50)
        assert candidates.take() is None
    candidates.fill([Entry("log", 1.0, 6)], 64.0, 64.0)  # at last
    assert drained(candidates) == ["log"]


def test_a_file_that_went_and_came_back_is_young_again():
    candidates = Candidates(min_age=10.0)
    for now, listing in ((0.0, ["a"]), (5.0, []), (11.0, ["a"])):
        candidates.fill(entries(*listing), now, now)
    assert candidates.take() is None
