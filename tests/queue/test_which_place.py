"""A queue is made only where somebody wants one: a name may be mistyped, or a share not mounted."""

import os

import pytest

from dirjobs import ConfigurationError, DirJobs
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]


@pytest.fixture(params=["folder", "WebDAV"])
def there(request, tmp_path):
    """A folder, and what it is called."""
    if request.param == "folder":
        return tmp_path, str(tmp_path)
    server = request.getfixturevalue("serve_fake")()
    return server, server.url


def make(there, *folders):
    place, _ = there
    for folder in folders:
        if isinstance(place, os.PathLike):
            (place / folder).mkdir()
        else:
            place.mkdir(folder)


def folders(there):
    place, _ = there
    if isinstance(place, os.PathLike):
        return {path.relative_to(place).as_posix() for path in place.rglob("*")}
    return set(place.folders())


def refusal(url, **options):
    with pytest.raises(ConfigurationError) as caught:
        DirJobs(url, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_where_nothing_is_a_queue_is_made_on_demand_only(there):
    url = f"{there[1]}/jobs"
    assert "check the spelling, or make it with create=True" in refusal(url)
    assert "jobs" not in folders(there)
    with DirJobs(url, create=True) as dj:
        dj.add("a.txt")
    with DirJobs(url) as dj:
        assert dj.status().waiting == 1
    with DirJobs(url, create=True) as dj:
        assert dj.status().waiting == 1


def test_a_folder_of_something_else_is_no_queue(there):
    make(there, "photos", "photos/2018", "photos/2019")
    url = f"{there[1]}/photos"
    assert "no folder 00_waiting, but '2018' (and 1 more)" in refusal(url)
    assert "photos/00_waiting" not in folders(there)
    DirJobs(url, create=True).close()
    assert "photos/00_waiting" in folders(there)


@pytest.mark.parametrize("inside", [[], [".snapshots"], ["00_waiting"], ["00_waiting", "mine"]])
def test_an_empty_folder_and_one_with_waiting_jobs_is_a_queue(there, inside):
    make(there, "jobs", *(f"jobs/{name}" for name in inside))
    DirJobs(f"{there[1]}/jobs").close()
    assert "jobs/02_done" in folders(there)


@pytest.mark.parametrize("create", [True, False])
def test_where_a_share_may_not_be_mounted(tmp_path, create):
    parent = str(tmp_path / "mnt")
    assert repr(parent) in refusal(f"{parent}/jobs", create=create)
    assert not os.path.exists(parent)


def test_a_password_is_not_told(serve_fake):
    server = serve_fake()
    told = refusal(server.url.replace("://", "://me:secret@") + "/jobs")
    assert "secret" not in told
