"""joblib's calls as jobs."""

import os
import subprocess
import sys
import time

import pytest

joblib = pytest.importorskip("joblib")

from tests.command_line import environment  # noqa: E402


def slow(value):
    time.sleep(0.001)
    return value * value


def fails(value):
    raise ValueError(f"no {value}")


@pytest.mark.parametrize("order", ["dirjobs first", "joblib first"])
def test_to_import_dirjobs_is_all_and_imports_no_joblib(order):
    first = "import dirjobs" if order == "dirjobs first" else "import joblib, dirjobs"
    code = (
        f"import sys\n{first}\nassert {order == 'joblib first'} == ('joblib' in sys.modules)\n"
        "import joblib\ntry:\n    joblib.Parallel(backend='dirjobs')([joblib.delayed(abs)(1)])\n"
        "except ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    assert "say where the queue is" in done.stdout


def test_values_and_few_jobs_for_many_short_calls(executor, queue):
    with joblib.parallel_config(backend="dirjobs", executor=executor):
        values = joblib.Parallel(n_jobs=2)(joblib.delayed(slow)(one) for one in range(3000))
    assert values == [one * one for one in range(3000)]
    assert len(os.listdir(queue / "02_done")) < 300


def test_an_exception_is_that_of_the_call(executor):
    with (
        joblib.parallel_config(backend="dirjobs", executor=executor),
        pytest.raises(ValueError, match="no 1"),
    ):
        joblib.Parallel(n_jobs=2)(joblib.delayed(fails)(one) for one in [1, 1, 1])


def test_as_many_at_once_as_there_are_slots(executor):
    with joblib.parallel_config(backend="dirjobs", executor=executor):
        assert joblib.effective_n_jobs(-1) == 2
        assert joblib.effective_n_jobs(7) == 7


def pid(value):
    return os.getpid()


@pytest.mark.parametrize("jobs", [-1, None, 2])
def test_one_slot_is_no_reason_to_run_calls_here(tmp_path, jobs):
    with joblib.parallel_config(
        backend="dirjobs", url=tmp_path / "queue", max_workers=1, create=True, n_jobs=jobs
    ):
        pids = joblib.Parallel()(joblib.delayed(pid)(one) for one in range(4))
    assert os.getpid() not in pids


def test_of_parallel_itself(tmp_path):
    values = joblib.Parallel(
        n_jobs=2, backend="dirjobs", url=tmp_path / "queue", max_workers=2, create=True
    )(joblib.delayed(slow)(one) for one in range(8))
    assert values == [one * one for one in range(8)]
    assert len(os.listdir(tmp_path / "queue" / "02_done")) > 0


def test_generators_are_supported(executor):
    with joblib.parallel_config(backend="dirjobs", executor=executor):
        values = joblib.Parallel(n_jobs=2, return_as="generator")(
            joblib.delayed(slow)(one) for one in range(10)
        )
        assert list(values) == [one * one for one in range(10)]
