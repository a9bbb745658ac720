"""The verdict on what was found; and mounts and sync clients, known by their marks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from dirjobs.backends.posix import windows
from dirjobs.backends.posix.store import guarantees_of
from dirjobs.backends.posix.windows import Volume
from dirjobs.check import Check, Findings, Lag, Race, decide
from dirjobs.check.file_semantics import Names, Nowhere, Partial, Times
from dirjobs.check.mounts import Surroundings, look_around, on_windows
from dirjobs.store import Guarantees

GOOD = Race(rounds=301, contested=300, losers=Counter({"NotFound (404)": 900}))
BAD = Race(rounds=50, contested=50, failed=3, failures=Counter({"several were told yes": 3}))
REPLACED = Race(rounds=30, contested=30, failed=28, failures=Counter({"a file is lost": 28}))
RARELY = replace(REPLACED, failed=5, failures=Counter({"a file is lost": 5}))  # Apache, Samba
WEBDAV = Guarantees(visible_after=0)
SMB = Guarantees(atomic_rename=True, visible_after=0)
REDIRECTOR = guarantees_of(Volume("NTFS", is_network=True, share=r"\\nas\share\jobs"))
LATENCY = dict.fromkeys(("rename", "list", "exists"), 0.02)


def found(**what):
    known = {
        "across": GOOD,
        "inside": GOOD,
        "collisions": GOOD,
        "callers": "4 threads",
        "latency": LATENCY,
        "times": Times(kept=True, precision=1.0, offset=0.0),
    }
    return Findings("https://host/jobs", WEBDAV, **known | what)


@pytest.mark.parametrize(
    ("findings", "mode"),
    [
        (found(), "trust"),
        (found(across=replace(GOOD, contested=299)), "verify"),
        (found(across=Race()), "verify"),
        (found(across=BAD), "verify"),
        (found(times=Times(kept=False)), "verify"),
        (found(inside=BAD), "trust"),
        (found(collisions=REPLACED), "verify"),
        (found(collisions=RARELY), "trust"),
        (found(collisions=replace(GOOD, contested=24)), "verify"),
        (found(lag=Lag(new=2.0)), "sync"),
        (found(across=BAD, mount_lag=Lag(appeared=2.0)), "sync"),
        (found(nowhere=Nowhere.LOST), "verify"),
        (found(nowhere=Nowhere.MADE), "trust"),
        (replace(found(across=Race(4, 4)), promised=SMB), "trust"),
        (replace(found(collisions=Race()), promised=SMB), "trust"),
        (replace(found(collisions=REPLACED), promised=SMB), "verify"),
        (replace(found(across=BAD), promised=SMB), "verify"),
        (replace(found(times=Times(kept=False)), promised=SMB), "verify"),
        (replace(found(), promised=REDIRECTOR), "trust"),
        (replace(found(across=BAD), promised=REDIRECTOR), "sync"),
        (replace(found(across=replace(GOOD, contested=299)), promised=REDIRECTOR), "sync"),
    ],
)
def test_the_mode(findings, mode):
    assert decide(findings).mode == mode


def test_the_rule_of_three():
    assert GOOD.bound == 0.01
    assert Race(2, 2).bound == 1.0
    assert Race().bound is None
    assert BAD.bound is None
    why = " ".join(decide(found()).why)
    assert "In 300 races" in why
    assert "refuted, never proved" in why
    assert "fewer than one race in 100" in why


@pytest.mark.parametrize(
    ("lag", "wait"), [(Lag(new=0.3), 10), (Lag(new=12.2), 25), (Lag(vanished=60.0), 105)]
)
def test_sync_time_is_well_above_the_lag(lag, wait):
    verdict = decide(found(lag=lag))
    assert verdict.sync_time == wait > 1.5 * lag.worst
    assert verdict.seconds_per_job > 2 * wait


def test_the_lease_obeys_the_law():
    assert decide(found()).lease == 300
    assert decide(found(lag=Lag(new=300.0))).lease == 740


def test_the_price_of_a_job():
    assert decide(found()).seconds_per_job == pytest.approx(0.04)
    assert decide(found(across=BAD)).seconds_per_job == pytest.approx(0.12)


def test_files_that_grow_in_sight():
    verdict = decide(found(partial=Partial.MOVABLE))
    assert verdict.min_age == 10
    assert decide(found(partial=Partial.VISIBLE)).min_age == 0
    assert decide(found(partial=Partial.MOVABLE, is_local=True)).min_age == 0


def test_what_to_mind():
    lost = replace(BAD, failures=Counter({"the file is lost": 3}))
    names = Names(mangled=["umlauts", "a leading dot", "?"], longest=143, case_sensitive=False)
    times = Times(kept=True, offset=3600.0)
    avoid = " ".join(
        decide(found(across=lost, inside=BAD, write=BAD, names=names, times=times)).avoid
    )
    for words in (
        *("LOST", "within one folder is not exclusive", "come out mixed", "changed here: umlauts."),
        *("143 bytes", "Capitals don't matter", "differs from ours by 3600 s"),
    ):
        assert words in avoid


def test_a_rename_that_replaces_is_told():
    replaced = decide(found(collisions=REPLACED))
    assert "replaces what is there: 28 of 30 races of 4 threads" in " ".join(replaced.why)
    for verdict in (replaced, decide(found(collisions=RARELY))):
        assert "Don't let two machines add jobs of the same names" in " ".join(verdict.avoid)
    few = decide(found(collisions=replace(GOOD, contested=24)))
    assert "Fewer than the 25 races for one name" in " ".join(few.why)


def test_where_nobody_promises_fresh_listings_that_is_told():
    promising_nothing = replace(found(), promised=Guarantees())
    assert "nobody promises" in " ".join(decide(promising_nothing).avoid)
    assert "nobody promises" not in " ".join(decide(found()).avoid)


def test_all_of_it_is_json():
    findings = found(write=GOOD, partial=Partial.HIDDEN, names=Names(), nowhere=Nowhere.MADE)
    document = json.loads(json.dumps(Check(findings, decide(findings)).to_json()))
    assert document["mode"] == "trust"
    assert document["sync_time"] == 0
    assert document["findings"]["across"]["losers"] == {"NotFound (404)": 900}
    assert document["findings"]["partial"] == "hidden"
    assert document["findings"]["nowhere"] == "made"


# -- surroundings -----------------------------------------------------------------------------

LINE = "42 27 0:39 / {point} rw,nosuid - {kind} {source} rw,user_id=0\n"
ROOT = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize(
    ("kind", "source", "name", "wait"),
    [
        ("fuse", "https://cloud.example.org/dav", "davfs2 mount", 20),
        ("fuse.davfs2", "https://me:secret@cloud.example.org/dav", "davfs2 mount", 20),
        ("nfs4", "nas:/export", "NFS mount", 70),
        ("nfs", "nas:/export", "NFS mount", 70),
        ("fuse.rclone", "remote:jobs", "rclone mount", 350),
        ("fuse.sshfs", "host:jobs", "sshfs mount", 25),
        ("cifs", "//nas/share", "SMB mount", 15),
        ("smb3", "//nas/share", "SMB mount", 15),
        ("9p", "share", "network mount", 70),
    ],
)
def test_mounts_are_known_by_their_kind(kind, source, name, wait):
    mounts = ROOT + LINE.format(point="/mnt/the\\040share", kind=kind, source=source)
    around = look_around("/mnt/the share/jobs", mounts=mounts)
    assert [each.name for each in around.kinds] == [name]
    assert around.file_system == kind
    assert "secret" not in str(around)
    verdict = decide(found(is_local=True, surroundings=around))
    assert verdict.mode == "sync"
    assert verdict.sync_time == wait
    assert name in " ".join(verdict.why)


def test_a_disk_is_no_mount_to_mind():
    around = look_around("/home/me/jobs", mounts=ROOT)
    assert around == Surroundings("ext4", "/dev/sda1")


@pytest.mark.parametrize(
    ("marker", "name"),
    [
        (".dropbox.cache/", "Dropbox"),
        (".dropbox", "Dropbox"),
        (".stfolder/", "Syncthing"),
        (".sync_7fc04bbe6a2c.db", "Nextcloud or ownCloud"),
        ("._sync_7fc04bbe6a2c.db", "Nextcloud or ownCloud"),
        (".owncloudsync.log", "Nextcloud or ownCloud"),
        (".tmp.drivedownload/", "Google Drive"),
    ],
)
def test_sync_clients_are_known_by_what_they_leave(tmp_path, marker, name):
    jobs = tmp_path / "cloud" / "work" / "jobs"
    jobs.mkdir(parents=True)
    if marker.endswith("/"):
        (tmp_path / "cloud" / marker).mkdir()
    else:
        (tmp_path / "cloud" / marker).touch()
    around = look_around(str(jobs), mounts=ROOT)
    assert [kind.name for kind in around.kinds] == [f"folder that {name} synchronises"]
    verdict = decide(found(is_local=True, surroundings=around))
    assert verdict.mode == "sync"
    assert name in " ".join(verdict.why)
    assert "Nobody can promise" in " ".join(verdict.avoid)


def test_a_folder_of_onedrive_is_known_by_its_name():
    for path in ("/home/me/OneDrive/jobs", "/Users/me/OneDrive - Uni X/jobs"):
        (kind,) = look_around(path, mounts=ROOT).kinds
        assert "OneDrive" in kind.name
    assert look_around("/home/me/OneDriver/jobs", mounts=ROOT).kinds == ()


def test_the_settings_of_dropbox_are_no_marker(tmp_path):
    (tmp_path / ".dropbox").mkdir()  # in a home folder: not what is synchronised
    assert look_around(str(tmp_path), mounts=ROOT).kinds == ()


# -- Windows ------------------------------------------------------------------------------------


class Windows:
    """Says this of each volume."""

    def __init__(self, file_system, drive):
        self.told = file_system, drive

    def volume(self, path):
        return self.told


def test_a_share_behind_windows_own_client_is_named_with_its_url(monkeypatch):
    monkeypatch.setattr(windows, "real_path", lambda path: r"\\?\UNC\nas\share\jobs")
    around = on_windows(Windows("NTFS", windows.DRIVE_REMOTE), r"Z:\jobs")
    assert around == Surroundings("NTFS", r"\\nas\share\jobs", (), "smb://nas/share/jobs")
    verdict = decide(replace(found(surroundings=around), promised=REDIRECTOR))
    assert any("smb://nas/share/jobs" in sentence for sentence in verdict.avoid)


def test_several_winners_there_forbid_trust_and_fresh_listings_prove_nothing():
    verdict = decide(replace(found(across=BAD), promised=REDIRECTOR))
    assert (verdict.mode.value, verdict.sync_time) == ("sync", 15)
    assert any("may be 10 s late" in sentence for sentence in verdict.why)
    assert any("not exclusive" in sentence for sentence in verdict.why)


def test_a_disk_of_windows_is_no_share(monkeypatch):
    monkeypatch.setattr(windows, "real_path", lambda path: r"\\?\C:\jobs")
    around = on_windows(Windows("ReFS", windows.DRIVE_FIXED), r"C:\jobs")
    assert (around.file_system, around.source, around.url) == ("ReFS", "a disk", "")
