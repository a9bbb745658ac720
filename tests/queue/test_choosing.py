"""Which files are taken, in which order, and what is left alone."""

import os

import pytest

from dirjobs import ClaimLost


def order_of(queue):
    names = []
    for job in queue:
        with job:
            names.append(job.name())
    return names


def test_jobs_are_taken_in_natural_order(place):
    place.put("job10.txt", "job9.txt", "job2.txt", "job1.txt")
    assert order_of(place.open()) == ["job1.txt", "job2.txt", "job9.txt", "job10.txt"]


def test_random_order_is_another_one(place):
    names = [f"job{number:02}.txt" for number in range(60)]
    place.put(*names)
    taken = order_of(place.open(rnd_job=True))
    assert sorted(taken) == names
    assert taken != names  # wrong once in 60! runs


def test_the_oldest_are_taken_first(local):
    local.put("a.txt", "b.txt", "c.txt")
    for age, name in enumerate(("b.txt", "c.txt", "a.txt")):
        os.utime(f"{local.folder}/00_waiting/{name}", (1000 - age, 1000 - age))
    assert order_of(local.open(order="oldest")) == ["a.txt", "c.txt", "b.txt"]


def test_only_files_of_the_extension_are_taken(place, caplog):
    place.put("a.txt", "b.dat", "c.dat")
    assert order_of(place.open()) == ["a.txt"]
    assert [r.message for r in caplog.records if "job_ext" in r.message] != []
    assert order_of(place.open("w2", job_ext="")) == ["b.dat", "c.dat"]


def test_the_filter_gets_path_and_name_in_the_users_spelling(place):
    place.put("a.txt", "b.txt")
    seen = []

    def only_b(path, name):
        seen.append((path, name))
        return name == "b.txt"

    assert order_of(place.open(job_filter=only_b)) == ["b.txt"]
    assert set(seen) == {
        (place.store.full_path(f"00_waiting/{name}"), name) for name in ("a.txt", "b.txt")
    }
    assert place.jobs() == {"00_waiting": ["a.txt"], "02_done": ["b.txt"]}


# -- what others do to the folders ------------------------------------------------------------


@pytest.mark.parametrize("folder", ["00_waiting", "01_running", "02_done"])
def test_folders_may_be_moved_away_while_running(local, folder):
    local.put("job1.txt", "job2.txt")
    queue = local.open()
    job = queue.next_and_lock()
    os.rename(f"{local.folder}/{folder}", f"{local.folder}/elsewhere")
    if folder == "01_running":
        with pytest.raises(ClaimLost):
            job.done()
    else:
        job.done()
        assert local.names("02_done") == ["job1.txt"]
    queue.add("job3.txt")
    assert "job3.txt" in order_of(queue)


def test_claims_of_other_programs_are_left_alone(place):
    place.put("job1.txt")
    place.put("w9.job.txt", "strange", "job1.txt", folder="01_running")
    with place.open() as queue:
        assert order_of(queue) == ["job1.txt"]
    assert place.names("01_running") == ["job1.txt", "strange", "w9.job.txt"]


def test_an_existing_claim_of_our_name_is_never_replaced(place):
    place.put("job1.txt", data=b"new")
    place.put("w1.job1.txt", folder="01_running", data=b"old")
    with place.open() as queue:
        assert order_of(queue) == ["job1.txt"]
    assert place.store.read("01_running/w1.job1.txt") == b"old"
    assert place.store.read("02_done/job1.txt") == b"new"


def test_copies_of_sync_clients_are_left_and_told_of_once(place, caplog):
    for name in ("a_conflict-20190101-120000.txt", "a (Case Conflict).txt", ".hidden.txt"):
        place.put(name)
    with place.open() as queue:
        assert order_of(queue) == order_of(queue) == []
    (told,) = [r.getMessage() for r in caplog.records if "not taken for jobs" in r.getMessage()]
    assert "(2 now)" in told


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
def test_hostile_files_are_skipped_and_reported_once(local, caplog):
    local.put("good.txt", "new\nline.txt", "tab\t.txt", "rtl\u202e.txt")
    waiting = f"{local.folder}/00_waiting"
    secret = f"{local.folder}/secret"
    with open(secret, "w", encoding="utf-8") as file:
        file.write("secret")
    os.symlink(secret, f"{waiting}/link.txt")
    os.symlink("nowhere", f"{waiting}/dangling.txt")
    os.mkfifo(f"{waiting}/fifo.txt")
    os.mkdir(f"{waiting}/folder.txt")
    open(os.fsencode(waiting) + b"/\xff\xfe.txt", "x").close()
    open(f"{waiting}/{'x' * 250}.txt", "x").close()
    before = set(local.names("00_waiting"))
    queue = local.open(job_ext="")
    assert order_of(queue) == ["good.txt"]
    assert queue.next_and_lock() is None
    assert set(local.names("00_waiting")) == before - {"good.txt"}
    told = [record.getMessage() for record in caplog.records if "is skipped" in record.getMessage()]
    assert len(told) == len(set(told)) == 5
    assert all(message.isprintable() for message in told)
    assert queue.status().waiting >= 0
