"""From what the user wrote to a store."""

import json
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

from dirjobs import registry
from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import redacted, without_login
from dirjobs.registry import open_store, scheme_of
from tests.amounts import PATIENCE

ROOT = pathlib.Path(__file__).parents[2]


def run_python(code, *path):
    """The last line that `code` prints, in a fresh interpreter, as data."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def install(folder, package, entry_points, **modules):
    """A package as pip would leave it in `folder`."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[dirjobs.backends]", *lines, ""]))
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)


OPEN = """
import json
from dirjobs.errors import ConfigurationError
from dirjobs.registry import open_store
try:
    found = repr(open_store({!r}, {!r}))
except ConfigurationError as error:
    found = str(error)
print(json.dumps(found))
"""


def test_what_is_installed_is_what_pyproject_registers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {e.name: e.value for e in registry._entry_points() if e.dist.name == "dirjobs"}
    assert project["entry-points"][registry.GROUP] == installed


def test_a_checkout_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(registry, "_entry_points", tuple)
    with pytest.raises(ConfigurationError, match="pip install -e"):
        open_store("jobs/")


def test_a_backend_that_is_installed_meanwhile_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigurationError, match="no backend knows later://"):
        open_store("later://x")
    code = "from dirjobs.backends.memory import MemoryStore\n"
    code += "opened = lambda url, options: MemoryStore()\n"
    install(tmp_path, "later", {"later": "later_backend:opened"}, later_backend=code)
    os.utime(tmp_path, (1, 1))  # Python looks again when the time of a folder is another
    assert isinstance(open_store("later://x"), MemoryStore)


def test_a_backend_that_knows_timeouts_is_told(monkeypatch):
    told = []

    def opener(url, options, timeout=7.0):
        told.append((options, timeout))
        return MemoryStore()

    monkeypatch.setattr(registry, "_load", lambda entry, scheme: opener)
    open_store("memory://x", {"a": 1}, timeout=3.0)
    open_store("memory://x")
    monkeypatch.setattr(registry, "_load", lambda entry, scheme: lambda u, o: opener(u, o, "none"))
    open_store("memory://x", timeout=3.0)
    assert told == [({"a": 1}, 3.0), ({}, 7.0), ({}, "none")]


@pytest.mark.parametrize("url", ["http://host/x", "smb://host/x", r"\\host\x"])
def test_an_option_wins_over_the_timeout_of_the_queue(url):
    assert open_store(url, timeout=3.0)._config.timeout == 3
    assert open_store(url, {"timeout": 5}, timeout=3.0)._config.timeout == 5
    assert open_store(url, {"timeout": None}, timeout=3.0)._config.timeout == 3


def test_a_store_passes_through():
    store = MemoryStore()
    assert open_store(store) is store
    with pytest.raises(ConfigurationError, match="a store already"):
        open_store(store, {"token": "x"})


def test_paths(tmp_path):
    for place in (tmp_path, str(tmp_path), f"{tmp_path}/", tmp_path.as_uri()):
        store = open_store(place)
        assert isinstance(store, PosixStore)
        assert store.exists("")


def test_memory_urls_share_a_tree_by_name():
    open_store("memory://shared-here").write("file", b"data")
    assert open_store("memory://shared-here/").read("file") == b"data"
    assert not open_store("memory://another-one").exists("file")
    with pytest.raises(ConfigurationError, match="'a' mean nothing"):
        open_store("memory://shared-here", {"a": 1})


@pytest.mark.parametrize("place", [None, 5, b"jobs"])
def test_what_is_no_place(place):
    with pytest.raises(ConfigurationError, match="give a path, a URL or a Store"):
        open_store(place)


def test_options_must_be_a_dict():
    with pytest.raises(ConfigurationError, match="must be a dict, not a str"):
        open_store("memory://x", "password")


@pytest.mark.parametrize(
    ("url", "windows", "scheme"),
    [
        ("jobs/", False, "file"),
        ("~/jobs", False, "file"),
        ("C:\\jobs", True, "file"),
        ("C:/jobs", True, "file"),
        ("c://jobs", True, "file"),
        ("a:b", False, "file"),
        ("HTTPS://host/x", False, "https"),
        ("\\\\nas\\share\\jobs", False, "smb"),
        ("\\\\nas\\share\\jobs", True, "smb"),
        ("//nas/share/jobs", True, "smb"),
        ("//nas/share/jobs", False, "file"),
        ("\\\\?\\C:\\jobs", True, "file"),
        ("\\\\.\\C:\\jobs", True, "file"),
        ("simplecache::s3://bucket/x", False, "simplecache"),
        ("s3://bucket", False, "s3"),
    ],
)
def test_schemes(url, windows, scheme):
    assert scheme_of(url, windows=windows) == scheme


@pytest.mark.parametrize("url", ["https:/host/x", "smb:host", "file:/srv"])
def test_a_url_with_a_slash_too_few(url):
    with pytest.raises(ConfigurationError, match=r"write [a-z]+://"):
        open_store(url)


def test_an_unknown_scheme_is_guessed_at():
    with pytest.raises(ConfigurationError, match=r"did you mean https://\?") as caught:
        open_store("htps://me:hunter2@host/x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="known are a path and abfs://"):
        open_store("zzz://x")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/x", "https://u:***@h/x"),
        ("https://u:p%40@h:8080/x", "https://u:***@h:8080/x"),
        ("https://u:p/a@h/x", "https://u:***@h/x"),
        ("https://u:p@q@h/x", "https://u:***@h/x"),
        ("smb://D;u:p@h/s", "smb://D;u:***@h/s"),
        ("https://h:80/a@b", "https://h:80/a@b"),
        ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("https://u@h/", "https://u@h/"),
        ("https://h/x?a=1&access_token=p&b=2", "https://h/x?a=1&access_token=***&b=2"),
        ("https://h/x#token=p", "https://h/x#token=***"),
        ("a b 'https://u:p@h/x' c", "a b 'https://u:***@h/x' c"),
        ("simplecache::ftp://u:p@h", "simplecache::ftp://u:***@h"),
        ("jobs/", "jobs/"),
    ],
)
def test_secrets_are_redacted(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/x", "https://h/x"),
        ("https://u:p/a@h/x?y#z", "https://h/x"),
        ("https://u:p#a@h/x", "https://h/x"),
        ("https://u:p a\n@h", "https://h"),
        ("u:p@h/x", "h/x"),
        ("/new/?token=p", "/new/"),
        ("https://h/x", "https://h/x"),
    ],
)
def test_of_a_url_that_can_not_be_read_no_login_is_shown(url, shown):
    assert without_login(url) == shown


def test_a_local_store_imports_nothing_heavy(tmp_path):
    code = f"""
import json, sys
import dirjobs
from dirjobs.registry import open_store
open_store({str(tmp_path)!r}).list("")
heavy = ("fsspec", "httpx", "webdav4", "smbprotocol", "smbclient", "pytest", "rich")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    assert run_python(code) == []


GUEST = """
from dirjobs.backends.memory import MemoryStore
class GuestStore(MemoryStore):
    url = "guest://here"
def open_store(url, options):
    return GuestStore()
def nothing(url, options):
    return url
"""


def test_others_can_enter(tmp_path):
    install(tmp_path, "guest-store", {"guest": "guest:open_store"}, guest=GUEST)
    assert run_python(OPEN.format("guest://here", {}), tmp_path) == "GuestStore('guest://here')"


def test_two_packages_that_claim_one_scheme(tmp_path):
    install(tmp_path / "a", "guest-store", {"guest": "guest:open_store"}, guest=GUEST)
    install(tmp_path / "b", "other-store", {"guest": "guest:open_store"})
    said = run_python(OPEN.format("guest://here", {}), tmp_path / "a", tmp_path / "b")
    assert "guest-store and other-store" in said
    assert "pip uninstall other-store" in said


def test_a_package_that_claims_our_scheme(tmp_path):
    install(tmp_path, "aaa-store", {"memory": "guest:open_store"}, guest=GUEST)
    said = run_python(OPEN.format("memory://x", {}), tmp_path)
    assert "aaa-store and dirjobs" in said
    assert "pip uninstall aaa-store" in said


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        ("guest:nothing", GUEST, "returned a str instead of a dirjobs Store"),
        ("guest:missing", GUEST, "can't be loaded (AttributeError"),
        ("gone:open_store", GUEST, "can't be loaded (ModuleNotFoundError"),
        ("guest:open_store", "1/0", "can't be loaded (ZeroDivisionError"),
        ("guest:open_store", "open_store = 5", "can't be called"),
        ("guest:Guest", "class Guest:\n    def __init__(self, url): pass", "too many positional"),
    ],
)
def test_a_broken_backend_is_named(tmp_path, value, code, says):
    install(tmp_path, "guest-store", {"guest": value}, guest=code)
    said = run_python(OPEN.format("guest://x", {}), tmp_path)
    assert says in said
    assert "update or uninstall guest-store, or correct its entry point if it is yours" in said


@pytest.mark.parametrize(
    "code",
    [
        "import no_such_module.inner",
        "def open_store(url, options):\n    import no_such_module",
    ],
)
def test_a_missing_dependency_is_named(tmp_path, code):
    install(tmp_path, "guest-store", {"guest": "guest:open_store"}, guest=code)
    said = run_python(OPEN.format("guest://x", {}), tmp_path)
    assert "pip install no_such_module" in said


def test_our_missing_dependency_is_named_by_its_package(tmp_path):
    install(tmp_path, "guest-store", {"guest": "guest:x"}, guest="import smbclient")
    code = "import sys\nsys.modules['smbclient'] = None\n" + OPEN.format("guest://x", {})
    assert "pip install smbprotocol" in run_python(code, tmp_path)


def test_what_only_fsspec_knows_goes_to_our_fsspec_backend(monkeypatch):
    asked = []

    def load(entry, scheme):
        asked.append((entry.name, scheme))
        return lambda url, options: MemoryStore()

    monkeypatch.setattr(registry, "_load", load)
    open_store("dropbox://host/x")
    open_store("simplecache::https://host/x")
    assert asked == [("fsspec", "dropbox"), ("fsspec", "simplecache")]


@pytest.mark.parametrize("url", ["smb://nas/share/jobs", "unheard-of://x"])
def test_a_password_in_an_ini_file_is_not_shown(tmp_path, url):
    """configparser quotes what follows a lone %, and fsspec lets it through."""
    (tmp_path / "conf.ini").write_text("[smb]\nusername = u\npassword = a%canary\n")
    done = subprocess.run(
        [sys.executable, "-c", f"import dirjobs; dirjobs.DirJobs({url!r})"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FSSPEC_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr.splitlines()[-1].endswith("write %% for each % in it, or use a .json file.")
    assert "canary" not in done.stderr
