"""The verbs of a Store as WebDAV requests: one each, where one can do it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import httpx

from dirjobs.backends._config import refuse_pickling
from dirjobs.backends.webdav import propfind
from dirjobs.backends.webdav.arrival import Arrival
from dirjobs.backends.webdav.config import Config, legible
from dirjobs.backends.webdav.directory import Listing, entry_of
from dirjobs.backends.webdav.propfind import BadAnswer, Multistatus
from dirjobs.backends.webdav.session import Session
from dirjobs.backends.webdav.status import OK, Verb, error_for, refusal, refuse_web_page
from dirjobs.backends.webdav.transfer import announced, rewound_on_retryable_error
from dirjobs.errors import AmbiguousResult, Denied, NotFound, StoreError, Unavailable
from dirjobs.names import ALL_CHANGEABLE, CHANGEABLE, nonce, same_name, unsafe_name
from dirjobs.store import Entry, FileKind, Guarantees, SmallFile, Store, split

log = logging.getLogger(__name__)

_PROPFIND = {
    "Content-Type": "application/xml",
    "Content-Length": str(len(propfind.BODY)),
    "Accept-Encoding": "gzip",
}
_LOOK = {**_PROPFIND, "Depth": "0"}
_LIST = {**_PROPFIND, "Depth": "1"}
_MOVE = {"Depth": "infinity", "Overwrite": "F"}
_DELETE = {"Depth": "infinity"}
_DEPTH_0 = {"Depth": "0"}
_BYTES = {"Content-Type": "application/octet-stream"}
_NEEDS_TLS_BEHIND = frozenset({400, 502})
# By these a proxy refuses everything for a while: no verdict on a name.
_OUTAGE = frozenset({401, 404, 407, 408, 425, 429, 502, 503, 504, 507, 509})
_FOLDER_MAY_BE_MISSING = frozenset({400, 403, 404, 409, 500})


class WebdavStore(Store):
    """A folder on a WebDAV server.

    It promises nothing about renames: whether a server's MOVE is exclusive can only be
    tried (``dirjobs check``), and then told with the option ``guarantees``.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._guarantees = config.guarantees or Guarantees(visible_after=0)
        # By process: after a fork the child makes its own and leaves the parent's alone.
        self._sessions: dict[int, Session] = {}
        self._arrival = Arrival()

    @property
    def url(self) -> str:
        return self._config.url

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    def full_path(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{legible(path)}" if path else self.url

    def name_problem(self, name: str) -> str | None:
        for char in ";?":
            if char in name:
                return f"it contains {char!r}, which some WebDAV servers drop with all after it"
        return unsafe_name(name)

    def another(self) -> WebdavStore:
        other = WebdavStore(self._config)
        other._arrival = self._arrival
        return other

    def close(self) -> None:
        session = self._sessions.pop(os.getpid(), None)
        if session is not None:
            session.close()

    __reduce__ = refuse_pickling

    def _session(self) -> Session:
        pid = os.getpid()
        session = self._sessions.get(pid)
        # One that another thread made meanwhile counts; ours has connected to nothing yet.
        return session or self._sessions.setdefault(pid, Session(self._config))

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        session = self._session()
        listing: Listing | None = None
        with session.stream(Verb.LIST, session.folder(folder), _LIST, propfind.BODY) as response:
            if response.status_code in OK[Verb.LIST]:
                url = response.request.url
                listing = Listing(url.scheme, url.host, url.port, url.raw_path.decode("ascii"))
                refused = self._parse(Multistatus(listing.add), response)
        if listing is not None:
            found = listing.believed(self.full_path(folder))
            if refused and not found and listing.own is None:
                raise self._refused_inside(Verb.LIST, refused, folder)
            return found
        error = self._refusal(Verb.LIST, response)
        # Apache says 400 to a file with a slash behind it.
        if response.status_code == 400 and not self._is_folder(folder):
            raise self._no_folder(folder) from error
        raise error

    def rename(self, src: str, dst: str) -> None:
        session = self._session()
        path, target = session.file(src), session.file(dst)
        if "%" in target and (problem := self._arrival_problem(split(src)[0], split(dst)[1])):
            raise Denied(f"{self.full_path(src)} is not renamed: {problem}.")
        known = self._arrival.origin
        origin = known or session.origin
        response = self._move(session, path, target, origin)
        status = response.status_code
        if status in OK[Verb.MOVE]:
            self._arrival.origin = origin
        elif known is None and status in _NEEDS_TLS_BEHIND and origin.startswith("https:"):
            self._rename_behind_proxy(session, path, target, dst)
        else:
            raise self._refusal(Verb.MOVE, response)

    def _move(self, session: Session, path: str, target: str, origin: str) -> httpx.Response:
        return session.send(Verb.MOVE, path, {**_MOVE, "Destination": origin + target})

    def _rename_behind_proxy(self, session: Session, path: str, target: str, dst: str) -> None:
        """Name the destination as a server without TLS, behind a proxy with, knows it.

        Only asked for until a MOVE has succeeded: the refusal is then a verdict on the
        header.  It might still be a gateway that lost an answer, hence the look first,
        and hence a "not found" afterwards is no proof.
        """
        if self.exists(dst):
            return
        origin = _without_tls(session.origin)
        response = self._move(session, path, target, origin)
        if response.status_code not in OK[Verb.MOVE]:
            raise AmbiguousResult(
                f"MOVE to {self.full_path(dst)} was refused with an https and then with an http"
                f" destination ({response.status_code}): it may have been done or not."
            ) from self._refusal(Verb.MOVE, response)
        log.info("%s wants destinations with http://: TLS ends before it", self.url)
        self._arrival.origin = origin

    # -- whether names arrive ----------------------------------------------------------

    def rename_problem(self, folder: str, name: str) -> str | None:
        problem = self.name_problem(name)
        if problem is None and "%" in self._session().file(f"{folder}/{name}"):
            problem = self._arrival_problem(folder, name)
        return problem

    def _arrival_problem(self, folder: str, name: str) -> str | None:
        self._try_names(self._session(), folder)
        return self._arrival.problem(name)

    def _try_names(self, session: Session, folder: str) -> None:
        """Find out, once, what becomes of names that have to be encoded; see `arrival`.

        Raises:
            NotFound: there is no such folder.
            StoreError: it can't be found out now; nothing was renamed.
        """
        if self._arrival.tried:
            return
        try:
            self._try_names_with(session, folder, self._arrival)
        except AmbiguousResult as error:
            raise Unavailable(f"it was to be tried how names arrive: {error}") from error

    def _try_names_with(self, session: Session, folder: str, arrival: Arrival) -> None:
        origin = arrival.origin or session.origin
        arrives = self._arrives(session, folder, ALL_CHANGEABLE, origin)
        if not arrives and arrival.origin is None and origin.startswith("https:"):
            other = _without_tls(origin)
            if self._arrives(session, folder, ALL_CHANGEABLE, other):
                arrives, arrival.origin = True, other
        if not arrives:
            arrival.changed = tuple(
                kind
                for kind, (text, _) in CHANGEABLE.items()
                if not self._arrives(session, folder, text, origin)
            ) or tuple(CHANGEABLE)
            log.info("%s changes names on the way: %s", self.url, ", ".join(arrival.changed))
        arrival.tried = True

    def _arrives(self, session: Session, folder: str, text: str, origin: str) -> bool:
        """Whether a file of ours that is moved to a name with `text` in it is there then.

        Raises:
            StoreError: it can't be told, since the file is nowhere, or there is an outage.
        """
        tag, above = f"~{nonce()}", f"{folder}/" if folder else ""
        src, dst = f"{above}{tag}\u00e4.part", f"{above}{tag}-{text}.part"
        self.write(src, b"")
        response = self._move(session, session.file(src), session.file(dst), origin)
        status = response.status_code
        if status in OK[Verb.MOVE] and self.exists(dst):
            self._delete_after_trial(dst)
            return True
        found = [entry.name for entry in self.list(folder) if entry.name.startswith(tag)]
        for name in found:
            self._delete_after_trial(f"{above}{name}")
        if status in OK[Verb.MOVE] and any(same_name(name, split(dst)[1]) for name in found):
            return True
        may_need_tls = self._arrival.origin is None and origin.startswith("https:")
        if status in OK[Verb.MOVE] and found == [split(src)[1]]:
            found = []  # listed late: what became of it can't be told now
        if found and (status not in _OUTAGE or (status in _NEEDS_TLS_BEHIND and may_need_tls)):
            return False
        if status in OK[Verb.MOVE]:
            raise Unavailable(f"{self.full_path(src)} was moved, and is nowhere: try later.")
        raise self._refusal(Verb.MOVE, response)

    def _delete_after_trial(self, path: str) -> None:
        try:
            self._delete(path)
        except StoreError as error:  # in nobody's way
            log.info("%s stays (%s)", self.full_path(path), error)

    def exists(self, path: str) -> bool:
        try:
            self._look(path)
        except NotFound:
            return False
        return True

    def mtime(self, path: str) -> float:
        entry = self._look(path)
        if entry.mtime is None:
            raise StoreError(f"the server tells no time of {self.full_path(path)}.")
        return entry.mtime

    def _look(self, path: str) -> Entry:
        """What the server says of one path.

        Raises:
            NotFound: that it isn't there.
        """
        found: list[Entry] = []
        parser = Multistatus(lambda *told: found.append(entry_of("", *told)))
        session = self._session()
        with session.stream(Verb.LOOK, session.file(path), _LOOK, propfind.BODY) as response:
            if response.status_code in OK[Verb.LOOK]:
                refused = self._parse(parser, response)
        if response.status_code not in OK[Verb.LOOK]:
            error = self._refusal(Verb.LOOK, response)
            # Apache says 400 to a path that goes on below a file.
            if response.status_code == 400 and path and not self._is_folder(split(path)[0]):
                raise self._no_folder(split(path)[0]) from error
            raise error
        if not found:
            raise self._refused_inside(Verb.LOOK, refused or 404, path)
        return found[0]

    def _refused_inside(self, verb: Verb, status: int, path: str) -> StoreError:
        """What it means that the 207 for `path` holds this status and nothing else."""
        return error_for(verb, status, url=self.full_path(path), who=self._config.who)

    def _parse(self, parser: Multistatus, response: httpx.Response) -> int | None:
        encoding = response.headers.get("content-encoding", "")
        try:
            for piece in propfind.unpacked(response.iter_raw(), encoding):
                parser.feed(piece)
            parser.close()
        except BadAnswer as error:
            raise StoreError(
                f"the listing that {response.request.url} sends can't be used: {error}."
            ) from error
        return parser.refused

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        small = SmallFile(repr(self.full_path(path)))
        with self._get(path) as pieces:
            for piece in pieces:
                small.write(piece)
        return small.content()

    def download(self, path: str, target: BinaryIO) -> None:
        with rewound_on_retryable_error(target) as write, self._get(path) as pieces:
            for piece in pieces:
                write(piece)

    @contextmanager
    def _get(self, path: str) -> Iterator[Iterator[bytes]]:
        # Raw: a Content-Encoding describes the file ("job.gz"), we asked for none.
        session = self._session()
        with session.stream(Verb.GET, session.file(path), _DEPTH_0) as response:
            if response.status_code not in OK[Verb.GET]:
                raise self._refusal(Verb.GET, response)
            # Many servers show a folder as a page; a file has a date or a tag.
            page = response.headers.keys().isdisjoint({"last-modified", "etag"})
            if (page or response.request.url.path.endswith("/")) and self._is_folder(path):
                raise Denied(f"{self.full_path(path)} is a folder, and only files are read.")
            yield response.iter_raw()

    def write(self, path: str, data: bytes) -> None:
        session = self._session()
        headers = {**_BYTES, "Content-Length": str(len(data))}
        put = partial(session.send, Verb.PUT, session.file(path), headers, data)
        self._require(Verb.PUT, put(), path, put)

    def upload(self, path: str, source: BinaryIO) -> None:
        session = self._session()
        if session.may_ask_for_login():
            # The question would come when the body is gone already.
            session.send(Verb.LOOK, session.folder(""), _LOOK, propfind.BODY)
        with announced(source) as (size, pieces):
            headers = {**_BYTES, "Content-Length": str(size)}

            def put() -> httpx.Response:
                return session.send(Verb.PUT, session.file(path), headers, pieces())

            self._require(Verb.PUT, put(), path, put)

    def remove(self, path: str) -> None:
        # DELETE takes a folder with all that is in it, so look what it is.
        if self._look(path).kind is FileKind.FOLDER:
            raise Denied(f"{self.full_path(path)} is a folder, and only files are removed.")
        self._delete(path)

    def _delete(self, path: str) -> None:
        session = self._session()
        self._require(Verb.DELETE, session.send(Verb.DELETE, session.file(path), _DELETE), path)

    def mkdir(self, path: str) -> None:
        session = self._session()
        self._require(Verb.MKCOL, session.send(Verb.MKCOL, session.folder(path), _DEPTH_0), path)

    def rmdir(self, path: str) -> None:
        # DELETE takes a folder with all that is in it, so look whether anything is.
        if not path or [*self.list(path)]:
            raise Denied(f"{self.full_path(path)} is not empty, and only empty folders go.")
        session = self._session()
        self._require(Verb.DELETE, session.send(Verb.DELETE, session.folder(path), _DELETE), path)

    def _require(
        self,
        verb: Verb,
        response: httpx.Response,
        path: str,
        again: Callable[[], httpx.Response] | None = None,
    ) -> None:
        """Raise what `response` means, unless `verb` was done; for verbs that need a folder
        above `path`, whether that is there decides what a refusal means.

        `again` is called once if the folder is there and the refusal may have said that it is
        missing: somebody else may have made it since.
        """
        status = response.status_code
        if status in OK[verb]:
            refuse_web_page(verb, response)
            return
        error = self._refusal(verb, response)
        if verb is Verb.DELETE or status not in _FOLDER_MAY_BE_MISSING or not path:
            raise error
        folder, _ = split(path)
        if not self._is_folder(folder):
            raise self._no_folder(folder) from error
        if again is not None and isinstance(error, NotFound | Denied):
            self._require(verb, again(), path)
            return
        if isinstance(error, NotFound):
            raise Denied(
                f"the server refuses {verb.name} of {self.full_path(path)} ({status})."
            ) from error
        raise error

    def _refusal(self, verb: Verb, response: httpx.Response) -> StoreError:
        return refusal(verb, response, self._config.who)

    def _no_folder(self, path: str) -> NotFound:
        return NotFound(f"there is no folder {self.full_path(path)}.")

    def _is_folder(self, path: str) -> bool:
        try:
            return self._look(path).kind is FileKind.FOLDER
        except NotFound:
            return False


def _without_tls(origin: str) -> str:
    return "http:" + origin.partition(":")[2]
