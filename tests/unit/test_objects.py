"""Object storage: URLs and options, what answers mean, and servers that no queue is put on."""

from __future__ import annotations

import pickle

import fsspec.config
import pytest

from dirjobs import DirJobs
from dirjobs.backends.objects import config
from dirjobs.backends.objects.status import Verb, error_for
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    Unavailable,
    Unsupported,
)
from tests.servers import heedless

pytest.importorskip("obstore")

from dirjobs.backends.objects import open_store

CANARY = "s3cret-canary"


@pytest.fixture(autouse=True)
def nobodys_login(monkeypatch, tmp_path):
    """This machine's own logins play no part."""
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "FSSPEC_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(fsspec.config, "conf", {})


# -- URLs and options --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", ("s3", "bucket", "", "", "")),
        ("s3://bucket/a/b/", ("s3", "bucket", "a/b", "", "")),
        ("S3://bucket//a", ("s3", "bucket", "a", "", "")),
        ("gcs://b.example.org/q", ("gs", "b.example.org", "q", "", "")),
        ("abfs://box/q", ("az", "box", "q", "", "")),
        (
            "abfss://box@lab.dfs.core.windows.net/q",
            ("az", "box", "q", "lab", "core.windows.net"),
        ),
    ],
)
def test_a_url_is_taken_apart(url, place):
    assert config.parse(url) == place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://", "no valid bucket"),
        ("s3://b/x", "no valid bucket"),
        ("s3://-bucket/x", "no valid bucket"),
        (f"s3://key:{CANARY}@bucket/x", "has a login before the bucket"),
        (f"az://box:{CANARY}@lab.dfs.core.windows.net/x", "has a login"),
        (f"s3://bucket/x?token={CANARY}", "a query"),
        ("s3://bucket/../other", "in its path"),
        ("s3://bucket/a\nb", "control character"),
    ],
)
def test_a_url_that_can_not_be_is_refused_in_a_sentence(url, why):
    with pytest.raises(ConfigurationError, match=why) as caught:
        config.read(url, {})
    assert CANARY not in str(caught.value)


def test_options_have_the_names_of_fsspec():
    found = config.read(
        "s3://bucket/q",
        {
            "key": "me",
            "secret": CANARY,
            "token": "session",
            "client_kwargs": {"endpoint_url": "http://s3.lab:8333", "region_name": "de"},
        },
    )
    assert found.settings["access_key_id"] == "me"
    assert found.settings["secret_access_key"] == CANARY
    assert found.settings["session_token"] == "session"
    assert found.settings["endpoint"] == "http://s3.lab:8333"
    assert found.settings["region"] == "de"
    assert found.client["allow_http"]
    assert CANARY not in repr(found)
    assert found.server == "http://s3.lab:8333"


def test_the_configuration_of_fsspec_counts(monkeypatch):
    monkeypatch.setattr(
        fsspec.config, "conf", {"s3": {"key": "me", "secret": CANARY, "endpoint_url": "http://x:1"}}
    )
    assert config.read("s3://bucket", {}).settings["access_key_id"] == "me"
    other = config.read("s3://bucket", {"key": "you", "secret": "yours"}).settings
    assert (other["access_key_id"], other["secret_access_key"]) == ("you", "yours")


def test_a_key_never_goes_with_somebody_elses_secret(monkeypatch):
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"key": "me", "secret": CANARY}})
    with pytest.raises(ConfigurationError, match="without its 'secret'"):
        config.read("s3://bucket", {"key": "you"})


def test_a_profile_of_the_vendors_files(tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = me\naws_secret_access_key = {CANARY}\n"
    )
    (tmp_path / "config").write_text("[profile lab]\nregion = de\nendpoint_url = http://s3.lab\n")
    found = config.read("s3://bucket", {"profile": "lab"}).settings
    assert (found["access_key_id"], found["secret_access_key"]) == ("me", CANARY)
    assert (found["region"], found["endpoint"]) == ("de", "http://s3.lab")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert config.read("s3://bucket", {}).settings["access_key_id"] == "me"
    with pytest.raises(ConfigurationError, match="no profile 'other'"):
        config.read("s3://bucket", {"profile": "other"})
    (tmp_path / "credentials").write_text(f"{CANARY} [[")
    with pytest.raises(ConfigurationError, match="malformed") as caught:
        config.read("s3://bucket", {"profile": "lab"})
    assert CANARY not in str(caught.value)


def test_hosts_that_have_the_bucket_in_their_names():
    for options in (
        {"addressing_style": "virtual"},
        {"config_kwargs": {"s3": {"addressing_style": "virtual"}}},
    ):
        found = config.read("s3://bucket", {"endpoint_url": "https://s3.lab", **options}).settings
        assert found["endpoint"] == "https://bucket.s3.lab"
        assert found["virtual_hosted_style_request"]


def test_nobody_logs_in():
    assert config.read("s3://bucket", {"anon": True}).settings["skip_signature"]
    assert config.read("gs://bucket", {"token": "anon"}).settings["skip_signature"]


def test_a_connection_string_says_it_all():
    text = (
        f"DefaultEndpointsProtocol=https;AccountName=lab;AccountKey={CANARY}==;"
        "EndpointSuffix=core.chinacloudapi.cn"
    )
    found = config.read("az://box", {"connection_string": text})
    assert found.settings["account_name"] == "lab"
    assert found.settings["account_key"] == f"{CANARY}=="
    assert found.settings["endpoint"] == "https://lab.blob.core.chinacloudapi.cn"
    assert CANARY not in repr(found)
    emulated = config.read("az://box", {"connection_string": "UseDevelopmentStorage=true"})
    assert emulated.settings["account_name"] == "devstoreaccount1"
    for wrong in (CANARY, f"AccountName=x;{CANARY}"):
        with pytest.raises(ConfigurationError, match="connection string") as caught:
            config.read("az://box", {"connection_string": wrong})
        assert CANARY not in str(caught.value)


def test_an_account_is_needed():
    with pytest.raises(ConfigurationError, match="account_name"):
        config.read("az://box", {})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"colour": 1}, "not an option of S3 buckets"),
        ({"endpoint_url": "s3.lab"}, "must be a URL"),
        ({"endpoint_url": "http://me:pw@s3.lab"}, "must be a URL"),
        ({"client_kwargs": {"colour": 1}}, "client_kwargs has 'colour'"),
        ({"client_kwargs": "x"}, "must be a dict"),
        ({"timeout": 0}, "seconds above 0"),
        ({"ca": "/missing.pem"}, "can't be read"),
    ],
)
def test_an_option_that_can_not_be_is_refused(options, why):
    with pytest.raises(ConfigurationError, match=why):
        config.read("s3://bucket", options)


def test_a_store_shows_no_secret():
    store = open_store("s3://bucket/q", {"key": "me", "secret": CANARY, "timeout": 1})
    assert CANARY not in repr(store) + store.url + store.full_path("a")
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(store)


# -- what answers mean -------------------------------------------------------------------


def told(verb, status, code="Whatever"):
    native = Exception(
        f"Generic S3 error: Error performing PUT http://x/y?sig={CANARY} - Server returned non-2xx"
        f" status code: {status} Something: <Error><Code>{code}</Code></Error>"
    )
    error = error_for(verb, native, "s3://b/x", "http://x")
    assert CANARY not in str(error)
    return error


@pytest.mark.parametrize(
    ("verb", "status", "code", "kind"),
    [
        (Verb.CREATE, 412, "PreconditionFailed", AlreadyExists),
        (Verb.CREATE, 409, "BlobAlreadyExists", AlreadyExists),
        (Verb.CREATE, 409, "ConditionalRequestConflict", AmbiguousResult),
        (Verb.CREATE, 500, "InternalError", AmbiguousResult),
        (Verb.CREATE, 502, "", AmbiguousResult),
        (Verb.CREATE, 503, "SlowDown", Unavailable),
        (Verb.CREATE, 429, "", Unavailable),
        (Verb.CREATE, 403, "AccessDenied", Denied),
        (Verb.CREATE, 403, "SignatureDoesNotMatch", LogonRefused),
        (Verb.CREATE, 507, "", NoSpace),
        (Verb.PUT, 504, "", AmbiguousResult),
        (Verb.DELETE, 500, "", AmbiguousResult),
        (Verb.GET, 500, "", Unavailable),
        (Verb.GET, 404, "NoSuchKey", NotFound),
        (Verb.GET, 412, "PreconditionFailed", Unavailable),
        (Verb.LIST, 501, "", Unsupported),
    ],
)
def test_what_an_answer_means(verb, status, code, kind):
    assert type(told(verb, status, code)) is kind


def test_a_missing_bucket_is_named():
    assert "there is no such bucket" in str(told(Verb.LIST, 404, "NoSuchBucket"))


def test_a_request_that_was_never_sent_may_be_repeated():
    store = open_store("s3://bucket", {"endpoint_url": "http://127.0.0.1:1", "anon": True})
    for ask in (lambda: store.create("x", b""), lambda: store.read("x"), lambda: store.list("x")):
        with pytest.raises(Unavailable, match="can't be reached"):
            ask()


@pytest.fixture
def server():
    with heedless.running(heeds=True) as server:
        yield server


@pytest.fixture
def store(server):
    with open_store("s3://lab/q", server.options) as store:
        yield store


def test_nothing_is_sent_twice(server, store):
    """The library's own retries would tell our own success as "exists"."""
    for fault, kind in ((500, AmbiguousResult), (503, Unavailable), ("mute", AmbiguousResult)):
        server.asked.clear()
        server.faults["PUT"] = [fault, 200]
        with pytest.raises(kind):
            store.create(f"job-{fault}", b"1")
        assert [method for method, _ in server.asked] == ["PUT"]
    assert store.read("job-mute") == b"1", "it was carried out"
    assert not store.exists("job-500")


def test_an_answer_that_does_not_come_in_time(server):
    with server.lock:  # it answers nobody
        store = open_store("s3://lab/q", {**server.options, "timeout": 2.0})
        with pytest.raises(Unavailable, match="did not answer"):
            store.read("x")
        with pytest.raises(AmbiguousResult, match="may have been done or not"):
            store.create("x", b"")


# -- servers that no queue is put on -----------------------------------------------------


def test_a_server_that_ignores_conditions_is_refused():
    with heedless.running() as server:
        with pytest.raises(ConfigurationError, match="ignores the condition") as caught:
            DirJobs("s3://lab/q", storage_options=server.options, create=True)
        assert "s3cret" not in str(caught.value)


def test_and_a_queue_works_where_they_are_heeded(server):
    with DirJobs("s3://lab/q", storage_options=server.options, create=True) as dj:
        dj.add("job1.txt", "content")
        [job] = [job for job in dj if job.read_text() == "content" and job.done() is None]
        assert job.name() == "job1.txt"
        status = dj.status()
    assert (status.done, status.waiting, status.running) == (1, 0, 0)


@pytest.mark.parametrize("how", [{"mode": "verify"}, {"worker_sync": True, "sync_time": 1.0}])
def test_other_modes_are_refused(server, how):
    with pytest.raises(ConfigurationError, match="means nothing on object storage"):
        DirJobs("s3://lab/q", storage_options=server.options, create=True, **how)
