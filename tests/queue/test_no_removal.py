"""Nothing in dirjobs can delete a job but from the trash: its source is read for it, and a store
watched."""

import ast
import random
from collections import Counter
from pathlib import Path

import pytest

import dirjobs
from dirjobs import AmbiguousResult, DirJobs, Unavailable
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer, Retrying
from dirjobs.layout import may_be_removed
from dirjobs.protocol.share import Share

PACKAGE = Path(dirjobs.__file__).parent

REMOVING = {
    *("remove", "unlink", "removedirs", "rmdir", "rmtree", "replace", "rename", "renames", "move"),
    *("truncate", "ftruncate", "copyfile", "copy", "copy2", "copytree", "write_bytes"),
    *("write_text", "link", "symlink", "renameat2", "renamex_np", "rm", "rm_file", "delete"),
}
MODULES = {"os", "shutil", "pathlib", "local_files"}

# Every place that may, and why it can't hit a job.
ALLOWED = {
    # The stores' own verbs: what a `Store` must offer.
    "backends/posix/store.py write os.replace": "our own draft onto a small file of ours",
    "backends/posix/store.py upload os.ftruncate": "what `Upload` names: a ~*.part of ours",
    "backends/posix/store.py remove os.unlink": "what `Share.remove` lets through",
    "backends/posix/store.py rmdir os.rmdir": "an empty folder",
    "backends/posix/store.py _discard os.unlink": "our own draft",
    "backends/posix/rename.py look_first os.rename": "after a look; for systems without more",
    "backends/webdav/transfer.py rewound_on_retryable_error target.truncate": "their download",
    "backends/sftp/store.py remove channel.sftp.remove": "what `Share.remove` lets through",
    "backends/sftp/store.py remove channel.sftp.rmdir": "an empty folder",
    "backends/sftp/rename.py _posix_rename channel.sftp.posix_rename": "to a name of one's own",
    "backends/sftp/rename.py _posix_rename channel.sftp.rename": "the same",
    "backends/sftp/rename.py refusing channel.sftp.rename": "it refuses, or after a look",
    "backends/sftp/rename.py _link_and_remove channel.sftp.link": "refuses what is there",
    "backends/sftp/rename.py _link_and_remove channel.sftp.remove": "one of a file's two names",
    "backends/sftp/rename.py _was_half_done channel.sftp.remove": "the same",
    "backends/sftp/rename.py replacing channel.sftp.posix_rename": "our own draft",
    "backends/sftp/rename.py replacing channel.sftp.rename": "the same",
    "backends/sftp/rename.py _take_back channel.sftp.remove": "one of a file's two names",
    "backends/sftp/rename.py _exchange channel.sftp.rename": "a small file of ours, aside and back",
    "backends/sftp/rename.py discard channel.sftp.remove": "our own draft",
    "backends/sftp/rename.py _try channel.sftp.link": "two files of our own",
    "backends/sftp/rename.py _try channel.sftp.rename": "the same",
    "backends/fsspec/store.py rmdir fs.rmdir": "an empty folder",
    "backends/fsspec/known.py _by_the_system os.rename": "after a look: no_replace is not promised",
    # Layers forward what they are asked for.
    "layers.py remove self.store.remove": "forwards",
    "layers.py rmdir self.store.rmdir": "forwards",
    "sweep/sources.py readable open(wb)": "a copy of standard input, on this machine",
    "check/scratch.py _sweep here.rmdir": "empty folders below a scratch folder",
    "check/scratch.py _remove store.remove": "a `Below` of a scratch folder",
    "layers.py from_the_start target.truncate": "the caller's own download",
    "protocol/content.py fetch target.truncate": "the caller's own download",
    "protocol/content.py truncate self._target.truncate": "the same, while it is measured",
    "protocol/share.py remove self.store.remove": "after `may_be_removed`",
    # Object storage: what a rename is there (the simulation finds no job lost).
    "protocol/markers.py remove self.store.remove": "after `may_be_removed`, by `Share.remove`",
    "protocol/markers.py _carry self.store.remove": "a job's object, after its copy was seen",
    "protocol/markers.py _discard self.store.remove": "markers and drafts; second copies",
    "protocol/conditions.py require_exclusive_create store.remove": "a ~*.part of ours",
    # No queue's files at all.
    "local_files.py replace os.replace": "called by those who are named here",
    "local_files.py unlink os.unlink": "the same",
    "backends/objects/library.py _copy shutil.copy": "the library, on this machine",
    "backends/objects/library.py _copy shutil.rmtree": "the same",
    "backends/posix/store.py  os.unlink": "asks whether the system can, and does nothing",
    "backends/posix/store.py  os.rmdir": "asks the same",
    "backends/posix/store.py  os.rename": "asks the same",
    "logins.py _write local_files.replace": "which user goes with which server, at home",
    "logins.py _write os.unlink": "its draft",
    "logins.py _write open(w)": "the same",
    "signing.py make_key open(w)": "a new key; refused where a file is",
    "functions/arguments.py _fetched open(xb)": "a copy in a workspace of this machine",
    "functions/arguments.py _fetched local_files.replace": "the same",
    "functions/arguments.py _fetched local_files.unlink": "the same",
    "functions/arguments.py _forget_oldest local_files.unlink": "the same",
    "functions/interpreter.py _write_value open(wb)": "the value, in a workspace",
}


def named(node):
    """``a.b.c`` as text; an expression in it is ``?``."""
    if isinstance(node, ast.Attribute):
        return f"{named(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def can_destroy(name):
    first, _, last = name.rpartition(".")
    if last in ("unlink", "rmtree", "rmdir", "removedirs", "ftruncate", "truncate", "renames"):
        return True
    if last in ("remove", "rename", "posix_rename", "link") and first.endswith("sftp"):
        return True
    if last == "remove" and first.endswith("store"):
        return True
    return last in REMOVING and first in MODULES


def destructive_calls(path):
    """What in a source file can take away a file or its content, by function."""
    found = []

    def visit(node, function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Attribute) and can_destroy(named(node)):
            found.append(f"{path.relative_to(PACKAGE).as_posix()} {function} {named(node)}")
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.extend(
                f"{path.relative_to(PACKAGE).as_posix()} from {node.module} import {one.name}"
                for one in node.names
                if one.name in REMOVING
            )
        if isinstance(node, ast.Call) and named(node.func) == "open":
            mode = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
            text = mode[0].value if mode and isinstance(mode[0], ast.Constant) else "r"
            if set(str(text)) & set("wax+"):
                found.append(f"{path.relative_to(PACKAGE).as_posix()} {function} open({text})")
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def sources():
    """The code that works on queues; what is for tests, and other media's, is apart."""
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0]
        not in ("testing", "cli", "console", "files", "runner")
        and path.name not in ("webdav.py", "smb.py", "memory.py")
    ]


def test_only_known_places_can_take_a_file_away():
    found = {call for path in sources() for call in destructive_calls(path)}
    assert found == ALLOWED.keys()


def test_only_known_modules_remove_anything():
    removing = {
        path.relative_to(PACKAGE).as_posix()
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and named(node.func).endswith("share.remove")
    }
    assert removing == {
        "admin/clean.py",  # a file in the trash, which a person wants to be emptied
        "admin/enqueue.py",
        "protocol/copying.py",
        "protocol/store_clock.py",
        "recovery/control.py",
        "recovery/peers.py",
    }


@pytest.mark.parametrize(
    "path",
    [
        *("00_waiting/job1.txt", "01_running/w1.job1.txt", "02_done/job1.txt", "99_failed/j.txt"),
        *("_queue/parked/w1.job1.txt", "_queue/queue.json", "_queue/attempts/job1.txt.json"),
        "_queue/journal/w1.1.jsonl",
        *("00_waiting/~w1~abc.job1.txt", "00_waiting/job.part", "01_running/~abc.part"),
        *("00_waiting/~w1~abc.job.part.txt", "logs/x.json", "", "x.json"),
        *("00_waiting/~w1~abc.job.part", "00_waiting/~w1~abc.part", "00_waiting/abc.part"),
        *("00_waiting/~w1~ab2c~abc.job.part", "00_waiting/~abc.job.part", "_queue/workers/x"),
        *("_queue/workers/~other", "_queue/workers/~pause.txt", "00_waiting/~drain.w1.abc"),
        *("_queue/trash", "_queue/trash/", "_queue/trash/.", "_queue/trash/..", "trash/job1.txt"),
        *("_queue/trash/deep/job1.txt", "_queue/trashed/job1.txt", "00_waiting/trash/job1.txt"),
        *(
            "_queue/trash/../parked/w1.job1.txt",
            "_queue/trash\\job1.txt",
            "x/_queue/trash/job1.txt",
        ),
    ],
)
def test_a_share_refuses_to_remove_anything_else(path):
    class Removing(Layer):
        def remove(self, path):
            raise AssertionError(path)

    with pytest.raises(ValueError, match="never removes"):
        Share(Removing(MemoryStore())).remove(path)


def test_a_staged_claim_of_a_job_that_ends_with_part_is_no_upload():
    assert not may_be_removed("00_waiting/~w1~k3x9q2.job.part")
    assert may_be_removed("00_waiting/~k3x9q2.part")


@pytest.mark.parametrize("name", ["job1.txt", "job1~2.txt", "~w1~abc.job1.txt", "a b", ".hidden"])
def test_any_file_directly_in_the_trash_may_be_removed(name):
    assert may_be_removed(f"_queue/trash/{name}")


def test_only_the_command_clean_empties_the_trash():
    """Nobody else who may remove something names the folder."""
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "TRASH"
    }
    assert naming == {
        "layout.py",
        "admin/clean.py",
        "admin/locate.py",  # says that a job is there
        "admin/remove.py",  # moves files there
        "cli/commands/clean.py",  # tells
        "cli/commands/remove.py",
        "protocol/markers.py",  # a folder in which names are shown, and renamed to
    }


class Watched(Layer):
    """Notes what is removed and what is written over; fails now and then."""

    def __init__(self, store, seed):
        super().__init__(store)
        self.rng = random.Random(seed)
        self.removed, self.overwritten = Counter(), Counter()

    def rename(self, src, dst):
        fate = self.rng.random()
        if fate < 0.05:
            raise Unavailable("as planned")
        if fate < 0.1:
            raise AmbiguousResult("as planned: not executed")
        self.store.rename(src, dst)
        if fate < 0.15:
            raise AmbiguousResult("as planned: executed")

    def remove(self, path):
        self.removed[path.rpartition("/")[0]] += 1
        super().remove(path)

    def write(self, path, data):
        if self.store.exists(path):
            self.overwritten[path.rpartition("/")[0]] += 1
        super().write(path, data)

    def upload(self, path, source):
        if self.store.exists(path):
            self.overwritten[path.rpartition("/")[0]] += 1
        super().upload(path, source)


@pytest.mark.parametrize("mode", ["trust", "verify"])
@pytest.mark.parametrize("seed", range(5))
def test_a_whole_drain_takes_no_job_file_away(mode, seed, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(Retrying, "FIRST", 0.0)
    store = Watched(MemoryStore(), seed)
    jobs = {f"job{number}.txt": f"content {number}".encode() for number in range(40)}
    queues = [DirJobs(store, wid=wid, mode=mode) for wid in ("w1", "w2")]
    for name, content in jobs.items():
        store.write(f"00_waiting/{name}", content)
    for turn in range(400):
        queue = queues[turn % 2]
        job = queue.next_and_lock()
        if job is None:
            break
        (job.done, job.failed, job.release)[turn % 3]()
    for queue in queues:
        queue.close()
    folders = ("00_waiting", "01_running", "02_done", "99_failed", "_queue/parked")
    kept = [store.read(f"{folder}/{e.name}") for folder in folders for e in store.list(folder)]
    assert sorted(kept) == sorted(jobs.values())
    assert set(store.removed) <= {"_queue/workers"}
    assert set(store.overwritten) <= {
        "_queue/workers",
        "_queue",
        "_queue/attempts",
        "_queue/journal",
    }
