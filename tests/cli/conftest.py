"""Commands run in this process, on queues in a folder and on a WebDAV server."""

import json
import sys
import types

import pytest
from click.testing import CliRunner

from dirjobs import open_store
from dirjobs.cli import main
from dirjobs.layers import Retrying
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from tests.fake_webdav.fixtures import serve_fake  # noqa: F401


@pytest.fixture(autouse=True)
def no_queue_is_named(monkeypatch):
    monkeypatch.delenv("DIRJOBS_URL", raising=False)


@pytest.fixture(autouse=True)
def little_time_between_tries(monkeypatch):
    monkeypatch.setattr(Retrying, "FIRST", 0.01)
    for module in ("admin.locate", "protocol.sweep", "recovery.peers"):
        monkeypatch.setattr(f"dirjobs.{module}.GROWING_PAUSE", 0.05)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where results are kept."""
    folder = tmp_path / "scratch"
    monkeypatch.setenv("DIRJOBS_SCRATCH", str(folder))
    return folder


class Queue:
    """A queue, the commands on it, and what a person sees there."""

    def __init__(self, url):
        self.url = str(url)
        self.store = open_store(self.url)
        make_folders(Share(self.store))

    def run(self, command, *args, code=0, **options):
        """What ``dirjobs COMMAND JOBS ARGS`` printed."""
        args = [command, self.url, *map(str, args)]
        result = CliRunner().invoke(main, args, **options)
        assert result.exit_code == code, (result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        self.stderr = result.stderr
        return result.stdout

    def refused(self, command, *args, **options):
        """The one sentence that a mistake gets."""
        assert self.run(command, *args, code=2, **options) == ""
        assert len(self.stderr.splitlines()) == 1, self.stderr
        assert self.stderr.startswith("dirjobs: ")
        return self.stderr.rstrip("\n")

    def json(self, command, *args, **options):
        return json.loads(self.run(command, *args, "--json", **options))

    def put(self, folder, *names, data=b"data"):
        for name in names:
            self.store.write(f"{folder}/{name}", data)

    def names(self, folder):
        return sorted(entry.name for entry in self.store.list(folder))

    def files(self, job):
        """The folder with the files of the only attempt at a job."""
        (attempt,) = self.names(f"results/{job}")
        return f"results/{job}/{attempt}"

    def jobs(self):
        """What is in the four folders; empty ones left out."""
        folders = ("00_waiting", "01_running", "02_done", "99_failed")
        found = {folder: self.names(folder) for folder in folders}
        return {folder: names for folder, names in found.items() if names}


@pytest.fixture
def local(tmp_path):
    """A queue in a local folder."""
    queue = Queue(tmp_path / "jobs")
    yield queue
    queue.store.close()


@pytest.fixture(params=["folder", "WebDAV"])
def queue(request, tmp_path):
    """A queue in a local folder, and one on a WebDAV server."""
    if request.param == "folder":
        url = tmp_path / "jobs"
    else:
        url = request.getfixturevalue("serve_fake")().url + "/jobs"
    queue = Queue(url)
    yield queue
    queue.store.close()


@pytest.fixture
def server(serve_fake):  # noqa: F811
    """The fake WebDAV server, whose answers a test spoils."""
    return serve_fake()


@pytest.fixture
def far(server):
    """A queue on it."""
    queue = Queue(f"{server.url}/jobs")
    yield queue
    queue.store.close()


NOTHING = types.MappingProxyType({})


class FakeKeyring(types.ModuleType):
    """The parts of the package `keyring` that are used."""

    def __init__(self):
        super().__init__("keyring")
        self.kept = {}
        self.error = None

    def get_password(self, service, user):
        if self.error is not None:
            raise self.error
        return self.kept.get((service, user))

    def set_password(self, service, user, password):
        if self.kept is not NOTHING:
            self.kept[service, user] = password

    def delete_password(self, service, user):
        del self.kept[service, user]


@pytest.fixture
def keyring(monkeypatch):
    """That of this user."""
    monkeypatch.delenv("DIRJOBS_KEY_FILE", raising=False)
    module = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", module)
    return module
