"""What a failed request means, as tables to be read next to the vendors' documentation.

A status that is in no table is unknown: for a change that means "it may have happened".
The same goes for an answer that never comes, unless the request was never sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    TooLarge,
    Unavailable,
    Unsupported,
)


class Verb(Enum):
    """What was asked; the value says so in a sentence."""

    LIST = "list"
    LOOK = "look at"
    GET = "read"
    CREATE = "create"
    PUT = "write"
    DELETE = "remove"


READING = frozenset({Verb.LIST, Verb.LOOK, Verb.GET})
"""The verbs that change nothing."""

# The same for every verb: the server didn't get as far as doing anything.
_ANY: Mapping[int, type[StoreError]] = {
    301: Denied,  # another region
    307: Denied,
    400: Denied,
    401: LogonRefused,
    403: Denied,
    404: NotFound,
    405: Unsupported,
    411: Unsupported,
    413: TooLarge,
    416: Denied,
    429: Unavailable,
    501: Unsupported,
    503: Unavailable,  # Slow Down
    507: NoSpace,
}
# Asking changes nothing, so a gateway's trouble is no riddle: ask again.
_READING: Mapping[int, type[StoreError]] = {
    408: Unavailable,
    412: Unavailable,  # it was replaced while it was read in pieces
    500: Unavailable,
    502: Unavailable,
    504: Unavailable,
}
REFUSED: Mapping[Verb, Mapping[int, type[StoreError]]] = {
    **{verb: {**_ANY, **_READING} for verb in READING},
    # 409 is told to some of those who race for a name while nobody has it yet.
    Verb.CREATE: {**_ANY, 412: AlreadyExists},
    Verb.PUT: _ANY,
    Verb.DELETE: _ANY,
}
_BY_CODE: Mapping[str, type[StoreError]] = {
    "AccountIsDisabled": LogonRefused,
    "AuthenticationFailed": LogonRefused,
    "AuthorizationFailure": Denied,
    "BlobAlreadyExists": AlreadyExists,  # Azure says 409 as well
    "EntityTooLarge": TooLarge,
    "ExpiredToken": LogonRefused,
    "InvalidAccessKeyId": LogonRefused,
    "InvalidToken": LogonRefused,
    "QuotaExceeded": NoSpace,
    "RequestTimeTooSkewed": Denied,
    "SignatureDoesNotMatch": LogonRefused,
    "TokenRefreshRequired": LogonRefused,
}
"""What a code in the answer says more exactly than its status."""
_HINTS: Mapping[str, str] = {
    "NoSuchBucket": "there is no such bucket: check the spelling, or make it",
    "ContainerNotFound": "there is no such container: check the spelling, or make it",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "PermanentRedirect": "the bucket is in another region: give the option region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: give the option region",
    "SignatureDoesNotMatch": "the secret does not belong to the key",
    "InvalidAccessKeyId": "nobody there knows the key",
    "ExpiredToken": "the token has expired: get a new one",
    "AuthenticationFailed": "the key, or the token, is not taken",
}
_NO_LOGIN = re.compile(
    r"metadata|credential|IMDS|169\.254|oauth|Account must be|token from|InstanceProfile",
    re.IGNORECASE,
)
_STATUS = re.compile(r"(?:status code: |status: )(\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KIND = re.compile(r"kind: (Connect|Timeout|Interrupted|Request|Decode|Unknown)\b")
_REASON = re.compile(
    r"Connection refused|Connection reset|No route to host|Network is unreachable"
    r"|dns error|failed to lookup address|invalid peer certificate[^\"\n]{0,60}"
    r"|certificate verify failed|corrupt message|operation timed out|connection closed",
    re.IGNORECASE,
)
_SHORT = {"dns error": "nobody knows that host", "failed to lookup address": "no such host"}


def error_for(verb: Verb, native: Exception, shown: str, server: str) -> StoreError:
    """What `native`, which the library raised, means.

    Args:
        verb: what was asked.
        native: its text has the answer; it may have secrets as well, and is not quoted.
        shown: the object, for people.
        server: who was asked.
    """
    text = str(native)
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else ""
    if status is not None:
        return _by_status(verb, status, code, shown)
    return _without_answer(verb, text, shown, server)


def _by_status(verb: Verb, status: int, code: str, shown: str) -> StoreError:
    kind = REFUSED[verb].get(status)
    if status in (400, 401, 403, 409):
        kind = _BY_CODE.get(code, kind)
    said = f"{status} {code}".strip()
    hint = f": {_HINTS[code]}" if code in _HINTS else ""
    if kind is AlreadyExists:
        return AlreadyExists(f"{shown!r} is there already ({said}).")
    if kind is NotFound and not hint:
        return NotFound(f"{shown!r}: there is no such object ({said}).")
    if kind is None:
        unknown = "try again" if verb in READING else "it may have been done or not"
        return AmbiguousResult(f"can't {verb.value} {shown!r} ({said}): {unknown}.")
    return kind(f"the server refuses to {verb.value} {shown!r} ({said}){hint}.")


def _without_answer(verb: Verb, text: str, shown: str, server: str) -> StoreError:
    kind = found[1] if (found := _KIND.search(text)) else ""
    reason = found[0] if (found := _REASON.search(text)) else ""
    reason = _SHORT.get(reason.lower(), reason)
    if (_NO_LOGIN.search(text) and "/latest/" in text) or "Account must be" in text:
        return LogonRefused(
            f"there is no login for {shown!r}: give the options key and secret (account_name and"
            " account_key), set the vendor's variables, or anon=True."
        )
    if kind == "Connect":
        return Unavailable(f"{server} can't be reached{f' ({reason})' if reason else ''}.")
    if kind == "Timeout":
        reason = "no answer in time"
    told = f" ({reason})" if reason else ""
    if verb in READING:
        return Unavailable(f"{server} did not answer when asked to {verb.value} {shown!r}{told}.")
    return AmbiguousResult(
        f"{server} did not answer when asked to {verb.value} {shown!r}{told}: it may have been"
        " done or not."
    )
