"""Moving jobs on a store without a rename: each move is decided by one create.

Object storage creates an object only if it is not there, and does little else that can be relied
on.  `Markers` is a layer that gives a queue there its renames: the other parts of the protocol
work as on a disk, in mode trust.  A payload stays in ``00_waiting`` while a job runs::

    00_waiting/job1.txt                       P: the payload, an object of one identity
    01_running/job1.txt~<identity>.<k>        M: attempt k has it; who, is in it
    01_running/job1.txt~<identity>.<k>.end    E: attempt k was given back
    _queue/ended/00_waiting/job1.txt/<identity>   F: where the payload goes; never removed
    02_done/job1.txt~<identity>               the payload, later

    claim      create M (k = 1, or after E of k - 1); any answer but yes: read it; then look at P
    give back  create E, by the worker itself or by whoever takes it for dead
    end        unless E is there: create F; any answer but yes: read it
    carry      read P, create it where F says, delete P, then M and E; by anybody who meets F

An identity tells an object from another one that has its name later: it is made of path, tag,
time and size.  Names of our own end with one, so no two lives of a job share an object, and a
request that is executed late finds nothing that it could harm.  A file that a person puts into
``00_waiting`` has its plain name; so has what `add` puts there, unless a job had that name before.

Rules, and what each refutes (``tests/model`` has every interleaving, and a mutant for each):

- Look at P after the claim.  Refutes: a claim of a job that has ended, whose claims are gone.
- F, and not the destination, decides the end.  Refutes: one name for each outcome, so that a
  sleeper's failure and its successor's success both win.
- F is never removed.  Refutes: an end in a place that is tidied up, which a sleeper makes anew.
- P is deleted after its copy was seen, M and E after P.  Refutes: any other order.
- Where a copy was once, and has gone on from, none is made that counts: its F tells.  Refutes: a
  job that was retried, and ended, and waits again by a late request.
- "Exists" may be our own success (something on the way has sent it twice), or nobody's (a
  conflict of two requests): only what is read counts.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

import msgspec

from dirjobs import names
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    Denied,
    NotFound,
    StoreError,
    Unavailable,
)
from dirjobs.layers import Layer
from dirjobs.layout import (
    DONE,
    FAILED,
    PARKED,
    QUEUE,
    RUNNING,
    TRASH,
    WAITING,
    numbered,
    parse_claim,
)
from dirjobs.names import unsafe_name
from dirjobs.policy import Mode, Policy, moves_by_markers
from dirjobs.protocol.conditions import require_exclusive_create
from dirjobs.protocol.records import decode
from dirjobs.store import Entry, FileKind, Guarantees, Store, check_path, split

log = logging.getLogger(__name__)

ENDED = f"{QUEUE}/ended"
AT_REST = frozenset({WAITING, DONE, FAILED, PARKED, TRASH})
"""The folders in which files lie that are renamed; in ``01_running`` are claims."""

_ID = 12
_LIFE = re.compile(r"(.+)~([0-9a-f]{12})", re.DOTALL)
_MARKER = re.compile(r"(.+)~([0-9a-f]{12})\.([1-9][0-9]{0,8})(\.end)?", re.DOTALL)
_NUMBERED = re.compile(r"~[0-9]+(?:\.[^.]*)?$")
_TRIES = 3
"""How often what nobody needs is deleted, if there is no answer."""
_MANY = 1000
"""Objects that are remembered at least, of those that were listed."""


def renaming(store: Store) -> Store:
    """`store`, with renames of job files if it has none and can do without."""
    return Markers(store) if moves_by_markers(store.guarantees) else store


def check_policy(store: Store, policy: Policy) -> Policy:
    """`policy`, if workers can go by it on this store.

    Raises:
        ConfigurationError: on object storage they move jobs by markers, in mode trust.
    """
    if isinstance(store, Markers) and policy.mode is not Mode.TRUST:
        raise ConfigurationError(
            f"mode {policy.mode.value!r} means nothing on object storage ({store.url}): leave the"
            " mode, worker_sync and sync_time out."
        )
    return policy


def require_conditions(store: Store, rounds: int = 0) -> None:
    """Refuse a store whose server ignores the condition on which markers rest; see
    `conditions.require_exclusive_create`.  Nothing is asked of any other store."""
    if isinstance(store, Markers):
        require_exclusive_create(store.store, rounds=rounds)


class _Marker(msgspec.Struct, forbid_unknown_fields=False):
    """What is in a claim or an end.

    Attributes:
        by: who made it: a nonce.
        claim: the claim's name as workers see it, also in its end; empty for what is only moved.
        size: of a claim, the job's.
        to: of an end, where the payload goes.
    """

    by: str
    claim: str = ""
    size: int | None = None
    to: str = ""

    def is_same(self, other: _Marker) -> bool:
        """Whether both were made by one try, or by tries of one attempt."""
        return (self.by, self.claim, self.to) == (other.by, other.claim, other.to)


class _Life(NamedTuple):
    """An object at rest.

    Attributes:
        folder: where.
        name: its own name there, which may end with an identity.
        identity: tells it from another object that has this name later.
    """

    folder: str
    name: str
    identity: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def fence(self) -> str:
        """F: where it is said what this object has become."""
        return f"{ENDED}/{self.folder}/{self.name}/{self.identity}"

    def claim(self, k: int) -> str:
        """M of attempt k."""
        return f"{RUNNING}/{self.name}~{self.identity}.{k}"

    def end(self, k: int) -> str:
        """E of attempt k."""
        return f"{self.claim(k)}.end"


@dataclass
class _Chain:
    """The attempts of one job that have markers.

    Attributes:
        claims: M, by k, as listed.
        ends: for which k there is E.
    """

    claims: dict[int, Entry] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        return max((*self.claims, *self.ends), default=0)

    @property
    def is_held(self) -> bool:
        """Whether somebody has the job."""
        return bool(self.last) and self.last not in self.ends


class _Waiting(NamedTuple):
    """A job that nobody has.

    Attributes:
        life: the object.
        ended: attempts before.
        size: in bytes.
    """

    life: _Life
    ended: int
    size: int | None


class _Held(NamedTuple):
    """A claim."""

    life: _Life
    k: int


class Markers(Layer):
    """A store whose job files can be renamed though it renames nothing.

    Args:
        store: what this layer is around.
        by: makes the nonce by which what this object makes is known.
    """

    def __init__(self, store: Store, by: Callable[[], str] = names.nonce) -> None:
        super().__init__(store)
        self._by = by() + by()
        self._waiting: dict[str, _Waiting] = {}
        """Jobs in ``00_waiting``, as listed last."""
        self._held: dict[str, _Held] = {}
        """Claims, by the names that workers see."""
        self._read: dict[str, _Marker] = {}
        """Markers that were read: none ever changes."""
        self._ghosts: set[_Life] = set()
        self._movers: set[str] = set()
        self._unanswered: set[str] = set()
        """Ends that were asked for, and may come to be."""
        self._moving: dict[str, _Life] = {}
        """Files at rest whose move got no answer, by the names that were given: another file may
        have such a name by now."""

    @property
    def guarantees(self) -> Guarantees:
        return replace(
            self.store.guarantees,
            atomic_rename=True,
            atomic_rename_in_folder=True,
            no_replace=True,
            final_refusals=True,
            repeatable_rename=True,
        )

    def name_problem(self, name: str) -> str | None:
        if _LIFE.fullmatch(name):
            return "it ends like names that dirjobs makes on object storage"
        return self.store.name_problem(name)

    # -- what people and workers see ----------------------------------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        if folder == WAITING:
            return self._list_waiting()
        if folder == RUNNING:
            return self._list_running()
        entries = [*self.store.list(folder)]
        if folder not in AT_REST:
            return entries
        return [entry._replace(name=name) for name, entry in _named(entries).items()]

    def _list_waiting(self) -> builtins.list[Entry]:
        # In this order: what is given back meanwhile is seen as waiting, and never missed.
        listing = [*self.store.list(WAITING)]
        chains = self._chains()
        there, free = set(), []
        lives: dict[str, tuple[_Life, int]] = {}
        for entry in listing:
            if entry.kind is FileKind.FILE and not _is_draft(entry.name):
                life = _life(WAITING, entry)
                key = life.name, life.identity
                there.add(key)
                chain = chains.get(key, _Chain())
                if chain.is_held:
                    continue
                lives[entry.name] = life, chain.last
            free.append(entry)
        found, waiting = [], {}
        for name, entry in _named(free).items():
            if entry.name in lives:
                waiting[name] = _Waiting(*lives[entry.name], entry.size)
            found.append(entry._replace(name=name))
        self._waiting = waiting
        self._sweep_ghosts({key: chain for key, chain in chains.items() if key not in there})
        return found

    def _list_running(self) -> builtins.list[Entry]:
        found = []
        held: dict[str, _Held] = {}
        before, self._movers = self._movers, set()
        for (name, identity), chain in self._chains().items():
            if not chain.is_held:
                continue
            life = _Life(WAITING, name, identity)
            path = life.claim(chain.last)
            marker = self._marker(path)
            if marker is None:
                continue
            if parse_claim(marker.claim) is None or unsafe_name(marker.claim) is not None:
                self._movers.add(path)
                if path in before:
                    self._free(life, chain.last)
                continue
            held[marker.claim] = _Held(life, chain.last)
            found.append(Entry(marker.claim, chain.claims[chain.last].mtime, marker.size))
        self._remember(held)
        return found

    def _free(self, life: _Life, k: int) -> None:
        """Somebody began to move a job, and did not come further: let it wait again.  If he is
        only slow, it is as if a running job were moved."""
        try:
            if not self._has_ended(life, k):
                self._create(life.end(k), _Marker(self._by))
        except StoreError as error:
            log.info("a job that is half way is left to the next look (%s)", error)

    def _remember(self, held: dict[str, _Held]) -> None:
        """Keep claims that a listing shows, and those of before: they may be ended yet."""
        if len(self._held) > _MANY + 2 * len(held):
            self._held = {}
        self._held |= held

    def _chains(self, of: str = "") -> dict[tuple[str, str], _Chain]:
        """The attempts that have markers, by their object's name and identity; one request.

        Args:
            of: only those of jobs whose names begin with this.
        """
        chains: dict[tuple[str, str], _Chain] = {}
        for entry in self.store.beginning(RUNNING, of) if of else self.store.list(RUNNING):
            found = _MARKER.fullmatch(entry.name)
            if found is None or entry.kind is not FileKind.FILE:
                continue
            name, identity, k, end = found.groups()
            chain = chains.setdefault((name, identity), _Chain())
            if end:
                chain.ends.add(int(k))
            else:
                chain.claims[int(k)] = entry
        return chains

    def _sweep_ghosts(self, absent: dict[tuple[str, str], _Chain]) -> None:
        """Delete the markers of jobs that are gone: somebody crashed while he did so, or his
        request came late.  What was seen for the first time is left to whoever is at it."""
        lives = {_Life(WAITING, *key): chain for key, chain in absent.items()}
        before, self._ghosts = self._ghosts, set(lives)
        for life, chain in lives.items():
            if life in before and not self._is_there(life):
                self._ghosts.discard(life)
                self._tidy(life, chain)

    def exists(self, path: str) -> bool:
        folder, name = split(check_path(path))
        if folder == RUNNING:
            return self._has_claim(name)
        if folder in AT_REST and not _is_draft(name):
            return self._is_shown(folder, name)
        return self.store.exists(path)

    def _is_shown(self, folder: str, name: str) -> bool:
        """Whether an object at rest is shown by this name; without listing all, if it has no
        number, as those have of which there are several."""
        if _NUMBERED.search(name):
            return any(entry.name == name for entry in _listed(self, folder))
        lives = [
            _life(folder, entry)
            for entry in self.store.beginning(folder, name)
            if entry.kind is FileKind.FILE and _shown(entry.name) == name
        ]
        if not lives or folder != WAITING:
            return bool(lives)
        chains = self._chains(name)
        return any(not chains.get((life.name, life.identity), _Chain()).is_held for life in lives)

    def _has_claim(self, name: str) -> bool:
        """Whether a claim is there, and what is claimed is, too."""
        held = self._find_claim(name)
        if held is None:
            return False
        marker = self._marker(held.life.claim(held.k), fresh=True)
        if marker is None or marker.claim != name or self._is_object(held.life.end(held.k)):
            return False
        return self._marker(held.life.fence) is None and self._waits_rightly(held.life)

    def stat(self, path: str) -> Entry:
        folder, name = split(check_path(path))
        if folder in AT_REST or folder == RUNNING:
            for entry in _listed(self, folder):
                if entry.name == name:
                    return entry
            raise self._nothing(path)
        return self.store.stat(path)

    def mtime(self, path: str) -> float:
        return self.store.mtime(self._object_at(path))

    def read(self, path: str) -> bytes:
        return self.store.read(self._object_at(path))

    def download(self, path: str, target: BinaryIO) -> None:
        self.store.download(self._object_at(path), target)

    def remove(self, path: str) -> None:
        self.store.remove(self._object_at(path))

    def full_path(self, path: str) -> str:
        folder, name = split(path)
        held = self._held.get(name) if folder == RUNNING else None
        return self.store.full_path(path if held is None else held.life.path)

    def _object_at(self, path: str) -> str:
        """The path of the object that is shown as `path`.

        Raises:
            NotFound: nothing is.
        """
        folder, name = split(check_path(path))
        if folder == RUNNING:
            held = self._find_claim(name)
            if held is None:
                raise self._nothing(path)
            return held.life.path
        if folder not in AT_REST or _is_draft(name):
            return path
        return self._find(path).path

    def _find(self, path: str) -> _Life:
        """The object at rest that is shown as `path`.

        Raises:
            NotFound: nothing is.
        """
        folder, name = split(path)
        entry = _named([*_listed(self.store, folder)]).get(name)
        if entry is None or entry.kind is not FileKind.FILE:
            raise self._nothing(path)
        return _life(folder, entry)

    def _find_claim(self, name: str) -> _Held | None:
        """The claim that workers see as `name`; of one known before, where it was."""
        if name not in self._held:
            self._list_running()
        return self._held.get(name)

    def _nothing(self, path: str) -> NotFound:
        return NotFound(f"{self.store.full_path(path)!r}: there is no such file")

    # -- renames ------------------------------------------------------------------------------

    def rename(self, src: str, dst: str) -> None:
        (folder, name), (target, new) = split(check_path(src)), split(check_path(dst))
        if folder == WAITING and target == WAITING and _is_draft(name):
            self._add(src, new)
        elif folder == WAITING and target == RUNNING:
            self._claim(name, new)
        elif folder == RUNNING and target == WAITING:
            self._give_back(name)
        elif folder == RUNNING and target in AT_REST:
            held = self._find_claim(name)
            if held is None:
                raise self._nothing(src)
            self._end(held, f"{target}/{new}", name)
        elif folder in AT_REST and target in AT_REST:
            self._move(src, dst)
        else:
            self.store.rename(src, dst)

    def _add(self, draft: str, name: str) -> None:
        """Give an upload its name, if no job has it."""
        if self._is_shown(WAITING, name):
            raise AlreadyExists(f"{self.full_path(f'{WAITING}/{name}')!r} is there already")
        data = self._content(draft)
        used = [*_listed(self.store, f"{ENDED}/{WAITING}/{name}")]
        own = f"{name}~{self._fresh_life()}" if used else name
        path = f"{WAITING}/{own}"
        try:
            self._make(path, data)
        except AlreadyExists:
            raise AlreadyExists(f"{self.full_path(path)!r} is there already") from None
        except AmbiguousResult as error:
            if not self._has_content(path, data):
                raise AmbiguousResult(f"{error}  It is not there yet.") from error
        self._discard(draft)

    def _fresh_life(self) -> str:
        return hashlib.sha256(names.nonce(12).encode()).hexdigest()[:_ID]

    def _claim(self, name: str, claim: str) -> None:
        if name not in self._waiting:
            self._list_waiting()
        job = self._waiting.pop(name, None)
        if job is None:
            raise self._nothing(f"{WAITING}/{name}")
        self._held[claim] = self._take(job, claim)

    def _take(self, job: _Waiting, claim: str) -> _Held:
        """Make the next attempt at a job ours.

        Raises:
            NotFound: it is somebody else's, or the job has ended.
            AmbiguousResult: it may be ours, or become so.
        """
        life, k = job.life, job.ended + 1
        path = life.claim(k)
        if not self._create(path, _Marker(self._by, claim, job.size)):
            raise self._nothing(life.path)
        with self._decided():
            if job.ended and self._has_ended(life, k):
                raise self._nothing(life.path)
            if not self._waits_rightly(life):
                self._discard(path)
                raise self._nothing(life.path)
        return _Held(life, k)

    def _give_back(self, name: str) -> None:
        held = self._find_claim(name)
        if held is None:
            raise self._nothing(f"{RUNNING}/{name}")
        life, k = held
        if self._has_ended(life, k):
            raise self._nothing(f"{RUNNING}/{name}")
        if self._marker(life.claim(k), fresh=True) is None:
            raise self._nothing(f"{RUNNING}/{name}")
        if not self._create(life.end(k), _Marker(self._by)):
            raise self._nothing(f"{RUNNING}/{name}")

    def _end(self, held: _Held, dst: str, claim: str) -> None:
        """Let a claim's job come to its end, or be moved on by somebody else."""
        life, k = held
        end = _Marker(self._by, claim, to=f"{dst}~{life.identity}")
        # Once an end was asked for without an answer, it may come to be: then only F decides.
        if life.fence not in self._unanswered and self._is_object(life.end(k)):
            raise self._nothing(life.claim(k))
        self._send(life, end, k)

    def _move(self, src: str, dst: str) -> None:
        """Move a file that nobody works at, such as a failed job."""
        (folder, name), target = split(src), split(dst)[0]
        life = self._moving.get(src)  # an earlier try has got no answer
        if life is None and target == WAITING and self.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)!r} is there already")
        if folder != WAITING:
            life = life or self._find(src)
            if self._is_made_anew(life):
                raise self._nothing(src)
            with self._known_while_in_doubt(src, life):
                self._send(life, _Marker(self._by, to=f"{dst}~{life.identity}"), 0)
            return
        self._list_waiting()
        job = self._waiting.pop(name, None)
        if job is None:
            raise self._nothing(src)
        self._end(self._take(job, ""), dst, "")

    @contextmanager
    def _known_while_in_doubt(self, src: str, life: _Life) -> Iterator[None]:
        self._moving[src] = life
        try:
            yield
        except AmbiguousResult:
            raise
        except StoreError:
            self._moving.pop(src, None)
            raise
        self._moving.pop(src, None)

    def _send(self, life: _Life, end: _Marker, k: int) -> None:
        """Decide where an object goes, and bring it there.

        Raises:
            NotFound: somebody else has decided that.
        """
        is_asked_again = life.fence in self._unanswered
        self._unanswered.add(life.fence)
        try:
            mine = self._create(life.fence, end)
        except AmbiguousResult:
            raise
        except StoreError:
            if not is_asked_again:
                self._unanswered.discard(life.fence)
            raise
        self._has_ended(life, k)
        self._unanswered.discard(life.fence)
        if not mine:
            raise self._nothing(life.path)

    def _carry(self, life: _Life, to: str, k: int) -> None:
        """Put a payload where it belongs, and tidy up; whoever does that, however often."""
        if self._is_there(life):
            try:
                self._copy(life.path, to)
                if self._is_there(life):
                    self.store.remove(life.path)
            except NotFound:
                pass  # somebody was faster
            except AmbiguousResult:
                if self._is_there(life):
                    raise
        if k:
            self._tidy(life, _Chain(dict.fromkeys(range(1, k + 1), Entry("")), {*range(1, k)}))

    def _copy(self, path: str, to: str) -> None:
        """Make the copy of an object that is to be there, if nobody has.

        Raises:
            NotFound: the object is gone.
            AmbiguousResult: the copy is not there, and may come to be.
        """
        try:
            self._make(to, self._content(path))
        except (AlreadyExists, AmbiguousResult) as error:
            if not self._is_object(to):
                raise AmbiguousResult(f"{path!r} is to be {to!r}: {error}") from error

    def _tidy(self, life: _Life, chain: _Chain) -> None:
        """Delete the markers of a job that is gone; what stays is found by the next listings."""
        for k in sorted(chain.claims):
            self._discard(life.claim(k))
        for k in sorted(chain.ends):
            self._discard(life.end(k))

    # -- requests -----------------------------------------------------------------------------

    def _create(self, path: str, marker: _Marker) -> bool:
        """Make a marker, and find out whose it is.

        Returns:
            whether it is ours.

        Raises:
            AmbiguousResult: nobody's yet, and it may become ours.
        """
        try:
            self._make(path, json.dumps(msgspec.to_builtins(marker)).encode())
        except (AlreadyExists, AmbiguousResult) as error:
            found = self._marker(path, fresh=True)
            if found is None:
                raise AmbiguousResult(f"{path!r} may come to be yet: {error}") from error
            return found.is_same(marker)
        self._read[path] = marker
        return True

    def _make(self, path: str, data: bytes) -> None:
        """Create an object, and its folder where that is asked for."""
        try:
            self.store.create(path, data)
        except NotFound:
            parts = split(path)[0].split("/")
            for depth in range(1, len(parts) + 1):
                try:
                    self.store.mkdir("/".join(parts[:depth]))
                except AlreadyExists:
                    continue
            self.store.create(path, data)

    def _marker(self, path: str, *, fresh: bool = False) -> _Marker | None:
        """What a marker says; None if there is none."""
        if not fresh and path in self._read:
            return self._read[path]
        try:
            found = decode(self.store.read(path), _Marker)
        except NotFound:
            self._read.pop(path, None)
            return None
        except ValueError:
            found = _Marker("")  # somebody else's, whatever it says
        if len(self._read) > 10 * _MANY:
            self._read.clear()
        self._read[path] = found
        return found

    def _is_there(self, life: _Life) -> bool:
        """Whether an object is there yet, and not another one of its name."""
        try:
            entry = self.store.stat(life.path)
        except NotFound:
            return False
        return _life(life.folder, entry) == life

    def _has_ended(self, life: _Life, k: int) -> bool:
        """Whether it is said where an object goes to; then it is brought there."""
        ended = self._marker(life.fence)
        if ended is None:
            return False
        folder, name = split(ended.to)
        if folder not in AT_REST or unsafe_name(name) is not None:
            self._read.pop(life.fence, None)
            raise Denied(f"{life.fence!r} can't be understood: delete it, and its job waits again.")
        with self._decided():
            self._carry(life, ended.to, k)
        return True

    def _waits_rightly(self, life: _Life) -> bool:
        """Whether an object is there, and is no second copy of one that was there before."""
        return not self._is_made_anew(life) and self._is_there(life)

    def _is_made_anew(self, life: _Life) -> bool:
        """Whether an object is a second copy, made by a late request when the first one, which
        had its name, had gone on: it goes.  One request, for objects with names of our own."""
        if not _LIFE.fullmatch(life.name):
            return False
        ends = {entry.name for entry in _listed(self.store, split(life.fence)[0])}
        if not ends - {life.identity}:
            return False
        if self._is_there(life):
            self._discard(life.path)
        return True

    def _is_object(self, path: str) -> bool:
        """Whether there is an object of this name; one request, whatever the answer."""
        try:
            self.store.stat(path)
        except NotFound:
            return False
        return True

    def _content(self, path: str) -> bytes:
        target = io.BytesIO()
        self.store.download(path, target)
        return target.getvalue()

    def _has_content(self, path: str, data: bytes) -> bool:
        try:
            return self._content(path) == data
        except NotFound:
            return False

    def _discard(self, path: str) -> None:
        """Delete what nobody needs; if that fails, it is found again."""
        for tried in range(1, _TRIES + 1):
            try:
                self.store.remove(path)
            except (Unavailable, AmbiguousResult) as error:
                if tried == _TRIES:
                    log.info("%r is left to the next look (%s)", path, error)
                continue
            except StoreError as error:
                log.info("%r is not deleted (%s)", path, error)
            return

    @contextmanager
    def _decided(self) -> Iterator[None]:
        """Once something is decided, what fails then leaves it open how far it came."""
        try:
            yield
        except Unavailable as error:
            raise AmbiguousResult(str(error)) from error


def _life(folder: str, entry: Entry) -> _Life:
    seconds = None if entry.mtime is None else int(entry.mtime)
    known = f"{folder}/{entry.name}\0{entry.tag}\0{seconds}\0{entry.size}"
    return _Life(folder, entry.name, hashlib.sha256(known.encode()).hexdigest()[:_ID])


def _shown(name: str) -> str:
    """The name of an object at rest, as people see it."""
    life = _LIFE.fullmatch(name)
    return name if life is None else life[1]


def _is_draft(name: str) -> bool:
    return name.startswith("~")


def _listed(store: Store, folder: str) -> Iterable[Entry]:
    """What is in a folder; nothing, if it is not there."""
    try:
        return store.list(folder)
    except NotFound:
        return ()


def _named(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Objects by the names that people see: without identities, and with numbers where several
    have one name."""
    found: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda one: (len(one.name), one.mtime or 0.0, one.name)):
        name = _shown(entry.name) if entry.kind is FileKind.FILE else entry.name
        shown, number = name, 1
        while shown in found:
            number += 1
            shown = numbered(name, number)
        found[shown] = entry
    return found
