"""``dirjobs init`` and ``dirjobs add``."""

import json
import os
import sys
from dataclasses import replace

import pytest

from dirjobs.admin import enqueue
from dirjobs.errors import Unavailable
from dirjobs.layers import Layer
from dirjobs.protocol.share import Share
from dirjobs.sweep import adding
from tests.cli.conftest import Queue
from tests.fake_webdav import PERSONALITIES


def test_init_makes_a_queue(tmp_path, local):
    (tmp_path / "new").mkdir()
    local.url = str(tmp_path / "new" / "jobs")
    assert local.run("init").startswith(f"Made a queue in {local.url}.\n")
    assert (tmp_path / "new" / "jobs" / "_queue" / "parked").is_dir()
    assert local.run("init").startswith("There was already a queue in")
    assert local.run("status").endswith("no jobs\n")


def test_init_with_a_mode(queue):
    assert queue.json("init", "--sync-time", "7") == {"queue": queue.url, "made": False}
    agreed = json.loads(queue.store.read("_queue/queue.json"))
    assert (agreed["mode"], agreed["sync_time"]) == ("sync", 7.0)
    assert agreed["lease"] >= 217
    queue.run("init", "--mode", "sync", "--sync-time", "7")
    assert "mode 'sync' with sync_time 7 already" in queue.refused("init", "--mode", "trust")
    assert "means nothing" in queue.refused("init", "--mode", "trust", "--sync-time", "1")


# -- files -------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.dat", "b.dat", "c d.dat"):
        (tmp_path / "in" / name).write_bytes(f"content of {name}".encode())
    return [f"in/{name}" for name in ("a.dat", "b.dat", "c d.dat")]


def test_files(queue, files):
    assert queue.run("add", files[0]) == f"Added job a.dat to {queue.url}.\n"
    assert queue.run("add", *files[1:]) == f"Added 2 jobs to {queue.url}.\n"
    assert queue.jobs() == {"00_waiting": ["a.dat", "b.dat", "c d.dat"]}
    assert queue.store.read("00_waiting/c d.dat") == b"content of c d.dat"


def test_files_named_on_standard_input(local, files):
    assert local.json("add", "-", input="in/a.dat\n\nin/c d.dat\r\n")["added"] == [
        "a.dat",
        "c d.dat",
    ]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("00_waiting", "a.dat"), ("01_running", "w1.a.dat"), ("02_done", "a.dat")],
)
def test_a_name_that_is_in_use(queue, files, folder, name):
    queue.put(folder, name, data=b"old")
    told = queue.refused("add", *files)
    assert f"'a.dat' exists already in {folder}" in told
    assert "nothing was added" in told
    assert queue.jobs() == {folder: [name]}
    found = queue.json("add", *files, "--skip-existing")
    assert (found["added"], found["skipped"]) == (["b.dat", "c d.dat"], 1)
    assert queue.store.read(f"{folder}/{name}") == b"old"


def test_a_dry_run(queue, files):
    queue.put("02_done", "a.dat")
    assert queue.run("add", *files, "--skip-existing", "--dry-run") == "b.dat\nc d.dat\n"
    assert "exists already" in queue.refused("add", *files, "--dry-run")
    found = queue.json("add", files[1], "--dry-run")
    assert (found["added"], found["would_add"]) == ([], ["b.dat"])
    assert queue.jobs() == {"02_done": ["a.dat"]}


def what_is_said_of_nothing():
    """Why this system does not find a file."""
    with pytest.raises(FileNotFoundError) as caught:
        os.stat("none.dat")
    return caught.value.strerror


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["in/none.dat"], f"'in/none.dat' can't be added: {what_is_said_of_nothing()}"),
        (["in"], "'in' is a folder"),
        (["in/a.dat", "in/../in/a.dat"], "would be one job, 'a.dat'"),
        (["in/a.dat", "in/a.tmp"], "names like this are left by other programs"),
        ([], "name the files"),
        (["-"], "there is nothing to add in standard input"),
        (["in/a.dat", "--name", "x"], "--name is for parameters"),
        (["in/a.dat", "--param", "x=1"], "either files or parameters"),
        (["in/a.dat", "--template", "in/b.dat"], "--template wants parameters"),
        (["in/a.dat", "in/b.dat", "--each-line"], "--each-line wants one file"),
        (["--each-line", "in"], "'in': Is a directory"),
        (["--from-csv", "in"], "'in': Is a directory"),
        (["--from-json", "in"], "'in': Is a directory"),
        (["--from-csv", "in/none.csv"], "No such file"),
        (["--from-csv", "in/a.dat"], "there is nothing to add"),
        (["--from-csv", "in/a.dat", "--from-json", "in/b.dat"], "either --from-csv or"),
        (["--param", "x"], "write NAME=VALUES"),
        (["--param", "x=1", "--template", "in"], "'in' is a folder"),
        (["--param", "x=1", "--template", "in/none"], what_is_said_of_nothing()),
        (["--param", "x=1", "--template", "in/t"], "placeholder {lr}"),
        (["--param", "x=1,2", "--name", "x"], "put {number} into it"),
        (
            ["--param", "a.b=1", "--param", "a_b=2"],
            "'a_b' would both be DIRJOBS_PARAM_A_B",
        ),
        (["--param", "x=1,2", "--param", "y=1..3", "--zip"], "'x' has 2, 'y' has 3"),
        (["--param", "repeat=1", "--repeat", "2"], "call yours otherwise"),
        (["in/a.dat", "--repeat", "2"], "want parameters"),
        (["--param", "x="], "has no value"),
        (["--param", "x=log(0,1,3)"], "two unlike numbers above 0"),
    ],
)
def test_bad_input_adds_nothing(local, files, tmp_path, args, told):
    (tmp_path / "in" / "a.tmp").touch()
    (tmp_path / "in" / "t").write_text("{x} {lr}")
    assert told in local.refused("add", *args)
    assert local.jobs() == {}
    assert os.listdir(f"{local.url}/00_waiting") == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file of Linux")
@pytest.mark.parametrize(
    "args",
    [["--each-line"], ["--from-csv"], ["--from-json"], ["--param", "x=1", "--template"]],
)
def test_a_file_that_can_be_opened_and_not_read_is_named(local, args):
    assert "'/proc/self/mem': Input/output error" in local.refused("add", *args, "/proc/self/mem")
    assert local.jobs() == {}


# -- lines -------------------------------------------------------------------------------------


def test_lines(queue):
    found = queue.json("add", "--each-line", "-", input="first one\n\n  second\r\nlast")
    first, *others = found["added"]
    assert first.startswith("first-one-")  # and a digest, since a name has no space
    assert others == ["second.txt", "last.txt"]
    assert queue.store.read("00_waiting/second.txt") == b"  second\n"
    assert queue.store.read("00_waiting/last.txt") == b"last\n"


def test_more_lines_are_added_to_the_first_ones(local):
    local.run("add", "--each-line", "-", input="./run 1\n./run 1\n./run 2\n")
    assert len(local.names("00_waiting")) == 3  # a line that is there twice is two jobs
    more = "./run 3\n./run 1\n./run 2\n./run 1\n"
    found = local.json("add", "--each-line", "-", "--skip-existing", input=more)
    assert (len(found["added"]), found["skipped"]) == (1, 3)
    assert local.store.read(f"00_waiting/{found['added'][0]}") == b"./run 3\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lines_that_windows_wrote(local, tmp_path, encoding):
    path = tmp_path / "lines.txt"
    path.write_text("echo ä\r\n\r\necho b\r\n", encoding=encoding)
    local.run("add", "--each-line", str(path))
    contents = {local.store.read(f"00_waiting/{name}") for name in local.names("00_waiting")}
    assert contents == {"echo ä\n".encode(), b"echo b\n"}


def test_lines_with_names(local):
    found = local.json("add", "--each-line", "-", "--name", "c{number}.sh", input="a\nb\n")
    assert found["added"] == ["c1.sh", "c2.sh"]


# -- parameters --------------------------------------------------------------------------------


def test_a_product(queue):
    assert queue.run("add", "--param", "lr=0.1,0.01", "--param", "seed=8..10").startswith("Added 6")
    assert "lr0.01_seed8.json" in queue.names("00_waiting")
    content = json.loads(queue.store.read("00_waiting/lr0.01_seed8.json"))
    assert content == {"lr": 0.01, "seed": 8}


def test_a_sweep_is_extended(local):
    local.run("add", "--param", "seed=1..5")
    local.run("work", "--", "true")
    found = local.json("add", "--param", "seed=1..10", "--skip-existing")
    assert found["added"] == [f"seed{n}.json" for n in range(6, 11)]
    assert found["skipped"] == 5
    out = local.run("list", "--names")
    assert out.split() == [f"seed{n}.json" for n in (*range(6, 11), *range(1, 6))]


def test_each_several_times(local):
    assert local.json("add", "--param", "x=a,b", "--repeat", "2")["added"] == [
        *("x-a_repeat1.json", "x-a_repeat2.json", "x-b_repeat1.json", "x-b_repeat2.json")
    ]
    assert json.loads(local.store.read("00_waiting/x-a_repeat2.json")) == {"x": "a", "repeat": 2}


def test_parameters_that_belong_together(local):
    found = local.json("add", "--zip", "--param", "x=1,2", "--param", "y=a,b", "--repeat", "1")
    assert found["added"] == ["x1_y-a_repeat1.json", "x2_y-b_repeat1.json"]


def test_a_sample(local):
    sweep = ("--param", "a=1..30", "--param", "b=1..30")
    found = local.json("add", *sweep, "--sample", "5")["added"]
    assert len(found) == 5
    more = local.json("add", *sweep, "--sample", "12", "--skip-existing")
    assert (len(more["added"]), more["skipped"]) == (7, 5)


def test_a_table_with_a_template(local, tmp_path):
    (tmp_path / "t.csv").write_text("lr,name\n0.1,x y\n2,z\n")
    (tmp_path / "run.inp").write_bytes(b"rate = {lr}\nname = {name}\n")
    found = local.json(
        *("add", "--from-csv", tmp_path / "t.csv", "--template", tmp_path / "run.inp"),
        *("--param", "k=1,2", "--name", "{name}-{k}.inp"),
    )
    assert found["added"] == ["x-y-1.inp", "x-y-2.inp", "z-1.inp", "z-2.inp"]
    assert local.store.read("00_waiting/x-y-1.inp") == b"rate = 0.1\nname = x y\n"


def test_a_table_on_standard_input(local):
    assert local.json("add", "--from-json", "-", input='[{"a": 1}, {"a": 2}]')["added"] == [
        "a1.json",
        "a2.json",
    ]
    assert local.json("add", "--from-csv", "-", input="b\nx\n")["added"] == ["b-x.json"]


# -- what happens on the way --------------------------------------------------------------------


class Failing(Layer):
    """A store whose sixth job can't be placed."""

    def upload(self, path, source):
        if source.read().startswith(b'{"x": 6'):
            raise Unavailable("the share is full of water")
        source.seek(0)
        super().upload(path, source)


def test_what_was_added_before_a_failure_is_told_and_the_rest_can_be_added(queue, monkeypatch):
    each = adding.each

    def failing(share, items, call):
        return each(Share(Failing(queue.store)), items, call, threads=1)

    monkeypatch.setattr(adding, "each", failing)
    told = queue.refused("add", "--param", "x=1..9")
    assert "5 of 9 jobs were added; the same command with --skip-existing adds the rest" in told
    assert "full of water" in told
    assert len(queue.names("00_waiting")) == 5
    monkeypatch.undo()
    assert queue.json("add", "--param", "x=1..9", "--skip-existing")["skipped"] == 5
    assert len(queue.names("00_waiting")) == 9


def test_a_job_that_somebody_else_adds_meanwhile(queue, monkeypatch):
    each = adding.each

    def raced(share, items, call):
        queue.put("00_waiting", "x1.json", data=b"theirs")
        return each(share, items, call)

    monkeypatch.setattr(adding, "each", raced)
    found = queue.json("add", "--param", "x=1..3", "--skip-existing")
    assert (found["added"], found["skipped"]) == (["x2.json", "x3.json"], 1)
    assert queue.store.read("00_waiting/x1.json") == b"theirs"
    assert queue.names("00_waiting") == ["x1.json", "x2.json", "x3.json"]


def test_ctrl_c_tells_how_far_it_came(local, monkeypatch):
    each = adding.each

    def interrupted(share, items, call):
        for number, pair in enumerate(each(share, items, call, threads=1)):
            if number == 3:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(adding, "each", interrupted)
    assert local.run("add", "--param", "x=1..9", code=130).strip() == ""
    assert "dirjobs: 3 of 9 jobs were added" in local.stderr
    assert not [name for name in local.names("00_waiting") if name.startswith("~")]


def test_a_table_that_changes_meanwhile(local, tmp_path, monkeypatch):
    table = tmp_path / "t.csv"
    table.write_text("a\n1\n2\n")
    known = enqueue.known_jobs

    def shrinking(share):
        table.write_text("a\n1\n")
        return known(share)

    monkeypatch.setattr(enqueue, "known_jobs", shrinking)
    assert "changed meanwhile" in local.refused("add", "--from-csv", table)


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs rights there")
def test_nothing_is_added_if_a_link_is_in_the_way(local, tmp_path):
    files = []
    for name in ("a.txt", "l.txt", "z.txt"):
        files.append(tmp_path / name)
        files[-1].write_text("data")
    (tmp_path / "jobs" / "00_waiting" / "l.txt").symlink_to(tmp_path / "a.txt")
    assert "nothing was added" in local.refused("add", *files)
    assert local.names("00_waiting") == ["l.txt"]


def test_a_queue_that_is_made_with_a_mode_gets_its_id_at_once(tmp_path):
    queue = Queue(tmp_path / "jobs")
    queue.run("init", "--mode", "verify", "--no-check")
    made = json.loads(queue.store.read("_queue/queue.json"))["id"]
    queue.run("work", "--", "true")
    assert json.loads(queue.store.read("_queue/queue.json"))["id"] == made
    queue.store.close()


def test_names_that_a_server_changes_are_refused_before_anything_is_added(serve_fake, tmp_path):
    server = serve_fake(replace(PERSONALITIES["atomic"], encodes_again=True))
    queue = Queue(f"{server.url}/jobs")
    queue.run("init")
    assert "Mind the names of jobs" in queue.stderr
    for name in ("a.txt", "a b.txt"):
        (tmp_path / name).touch()
    told = queue.refused("add", tmp_path / "a.txt", tmp_path / "a b.txt")
    assert "job name 'a b.txt' can't be used here: the server, or a proxy before it" in told
    assert queue.names("00_waiting") == []
    queue.run("add", tmp_path / "a.txt")
    queue.store.close()


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("1:3", "'1:3' is taken as a text; a range is 1..3."),
        ("1-3", "'1-3' is taken as a text; a range is 1..3."),
        ("range(3)", "'range(3)' is taken as a text; a range is 0..2."),
        ("range(1,4)", "'range(1,4)' is taken as a text; a range is 1..3."),
        ("7,2-3", "'2-3' is taken as a text; a range is 2..3."),
        ("1..3", ""),
        ("a-3,2024-01-02,10:30:00,1:3x", ""),
    ],
)
def test_a_range_in_another_notation_is_told_of(local, value, meant):
    local.run("add", "--param", f"seed={value}", "--dry-run")
    assert local.stderr == (f"dirjobs: --param 'seed={value}': {meant}\n" if meant else "")


@pytest.mark.parametrize("param", ["lr=0.1, 0.2", "lr= 0.1", "lr=0.1 ,0.2", "lr=a, "])
def test_blanks_around_values(local, param):
    told = local.refused("add", "--param", param)
    assert f"--param {param!r}" in told
    assert "has a blank around it" in told
    assert local.jobs() == {}
