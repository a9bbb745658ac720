"""The picture of a queue, at many sizes."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from dirjobs.admin.report import Claimed, Failure, Overview, Seen, State
from dirjobs.console.dashboard import Board, divided, fold, shares
from dirjobs.console.html import overview_as_html
from dirjobs.console.text import brief_duration


def drawn(found, width=80, height=23, encoding="utf-8", **more):
    """The lines of a picture."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, force_terminal=False).print(
        Board(found, "jobs", 0.0, height, **more)
    )
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def workers(number, slots=1, state=State.WORKING):
    return tuple(
        Seen(
            f"node{n}-4{n:03}",
            state,
            f"node{n}.example.org",
            4000 + n,
            age=7.0,
            jobs=tuple(Claimed(f"lr0.1_seed{n}-{slot}.json", "w", 95.0) for slot in range(slots)),
        )
        for n in range(number)
    )


FAILURES = tuple(Failure(f"bad{n}.json", 60.0 * n, f"exit code {n}") for n in range(5))
BUSY = Overview(
    waiting=3793,
    running=7,
    done=6000,
    failed=200,
    workers=workers(3, 2),
    failures=FAILURES,
    rate=120.0,
    remaining=3700.0,
)


@pytest.mark.parametrize("width", [30, 80, 120])
@pytest.mark.parametrize("height", [10, 23, 39])
@pytest.mark.parametrize("crew", [(0, 0), (3, 2), (40, 4), (500, 64)])
def test_it_fits(width, height, crew):
    for number in (0, 5):
        found = replace(BUSY, workers=workers(*crew), failures=FAILURES[:number])
        lines = drawn(found, width, height, hint="Ctrl-C")
        assert len(lines) <= height
        assert max(map(cell_len, lines)) <= width
        assert lines[-1] == "Ctrl-C"


def test_a_queue_at_work():
    text = "\n".join(drawn(BUSY))
    assert " 62 %" in text
    assert "█ 6,000 done   ▓ 200 failed   ▒ 7 running   ░ 3,793 waiting   of 10,000" in text
    assert "120 jobs an hour; about 1 h 01 min left." in text
    assert "node2-4002  working   7 s  2 min  lr0.1_seed2-0.json" in text
    assert "latest of 200" in text
    assert text.index("bad0.json") < text.index("bad4.json")


def test_hosts_are_shown_where_ids_do_not_tell_them():
    named = replace(BUSY, workers=(replace(workers(1)[0], id="w1"),))
    assert any(line.startswith("w1      node0  working") for line in drawn(named))
    assert any("node0-4000  node0:4000  working" in line for line in drawn(BUSY, 120))
    address = replace(BUSY, workers=(Seen("w1", State.IDLE, "10.0.0.7", 12),))
    assert any("10.0.0.7:12" in line for line in drawn(address, 120))


def test_no_jobs():
    assert drawn(Overview())[2] == "no jobs yet: `dirjobs add` brings some"


def test_the_end():
    done = drawn(Overview(done=3))
    assert "█ 100 %" in done[1]
    assert done[3] == "All jobs are done."
    assert "1 failed: `dirjobs retry --failed`" in drawn(Overview(done=3, failed=1))[3]


def test_what_needs_a_person():
    dead = workers(1, 2, State.DEAD)
    found = replace(BUSY, workers=dead, paused=True, parked=2)
    text = "\n".join(drawn(found, trouble="No answer for 12 s."))
    for told in ("Paused", "2 running of dead", "Nobody works", "2 second copies", "No answer"):
        assert told in text


def test_names_are_shown_and_never_obeyed():
    odd = ("実験_学習率.json", "[bold]x[/bold].json", "\x1b[31mred.json", "a\u202eb\u200d.json")
    jobs = tuple(Claimed(name, "w1", 1.0) for name in odd)
    found = replace(
        BUSY,
        workers=tuple(Seen(f"[red]w{n}", State.WORKING, jobs=(job,)) for n, job in enumerate(jobs)),
        failures=(Failure("\x1b[2J.json", 1.0, "a\nb\x07 [blink]"),),
    )
    text = "\n".join(drawn(found, 120))
    assert "\x1b" not in text
    for told in (odd[0], odd[1], "\\x1b[31mred.json", "a\\u202eb\\u200d.json", "a b\\x07 [blink]"):
        assert told in text


def test_a_terminal_without_block_characters():
    text = "\n".join(drawn(BUSY, encoding="ascii"))
    assert "# 6,000 done" in text
    assert text.isascii()


def test_the_worst_are_not_folded():
    many = (*workers(20), *workers(2, 1, State.DEAD))
    shown, left = fold(many, 5)
    assert [worker.state for worker in shown].count(State.DEAD) == 2
    assert (len(shown), len(left)) == (4, 18)
    assert fold(many, 22) == (many, ())


def test_how_lines_are_divided():
    assert divided(20, 4, 3) == (4, 3)
    assert divided(17, 100, 5) == (10, 3)
    assert divided(20, 0, 5) == (0, 5)
    assert divided(3, 10, 5) == (1, 0)
    assert divided(-2, 10, 5) == (0, 0)


def test_what_there_is_has_a_cell():
    assert shares([9998, 1, 1, 0], 50) == [48, 1, 1, 0]
    assert shares([0, 0], 50) == [0, 0]
    assert sum(shares([1, 1, 1, 1], 2)) >= 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (7200, "2.0 h"), (1e6, "12 d")],
)
def test_times_are_brief(seconds, text):
    assert brief_duration(seconds) == text


def test_the_last_line_that_a_job_has_printed():
    found = Overview(
        running=1,
        workers=(Seen("w1", State.WORKING, jobs=(Claimed("a.json", "w1", 10.0),)),),
    )
    lines = drawn(found, printed={"a.json": "epoch 3\x1b[2J loss 0.2"})
    assert any(line.endswith("a.json  epoch 3\\x1b[2J loss 0.2") for line in lines)


def test_names_are_cut_in_the_middle():
    """What tells the jobs of a sweep apart is at the end of their names."""
    names = [f"{'model_resnet_' * 6}lr0.1_seed{number}.json" for number in (13, 14)]
    jobs = tuple(Claimed(name, "w1", 95.0) for name in names)
    found = replace(
        BUSY,
        workers=(Seen("w1", State.WORKING, "node0", 1, age=7.0, jobs=jobs),),
        failures=tuple(Failure(name, 60.0, "exit code 1: too hot") for name in names),
    )
    for width in (60, 80):
        lines = drawn(found, width)
        for number in (13, 14):
            told = [line for line in lines if f"seed{number}.json" in line]
            assert len(told) == 2
            assert all("model_" in line and "\u2026" in line for line in told)
        assert max(map(cell_len, lines)) <= width


def test_an_exit_code_makes_room_for_what_the_program_said():
    said = "ValueError: the matrix is not definite"
    found = replace(BUSY, failures=(Failure("a.json", 60.0, f"exit code 1: {said}"),))
    assert any(line.endswith(f"  exit code 1: {said}") for line in drawn(found, 120))
    assert any(line.endswith(f"  {said}") for line in drawn(found, 80))
    assert not any("exit code" in line for line in drawn(found, 80))


def test_dead_workers_are_shown_until_all_is_over():
    dead = (Seen("w1", State.DEAD, "node0", 1, age=7e5),)
    assert any(line.startswith("w1 ") for line in drawn(replace(BUSY, workers=dead)))
    assert not any("dead" in line for line in drawn(Overview(done=3, workers=dead)))
    assert "node0" in overview_as_html(replace(BUSY, workers=dead), "jobs")
    assert "node0" not in overview_as_html(Overview(done=3, workers=dead), "jobs")


SILENT = Seen(
    "far", State.SILENT, age=130.0, lease=300.0, jobs=(Claimed("a", "far"), Claimed("b", "far"))
)


def test_what_becomes_of_jobs_whose_worker_is_silent():
    text = " ".join(drawn(replace(BUSY, workers=(SILENT,)), 300))
    assert "2 jobs are held by far, silent for 2 min: start `dirjobs work`, and they go to" in text
    assert "within 5 min; `dirjobs requeue JOB` gives one back at once." in text
    one = replace(SILENT, jobs=SILENT.jobs[:1])
    text = " ".join(drawn(replace(BUSY, workers=(one, *workers(1))), 300))
    assert "1 job is held by far, silent for 2 min: it goes to another worker within 5 min" in text
    assert "requeue JOB" not in text
