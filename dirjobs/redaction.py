"""URLs as people may see them, and environments as other programs may."""

from __future__ import annotations

import re
from collections.abc import Mapping

URL_VARIABLE = "DIRJOBS_URL"
"""Names the queue for commands that are not told which."""

_AUTHORITY = re.compile(r"(?P<before>://)(?P<rest>[^\s'\"<>]*)")
_QUERY = re.compile(
    r"(?P<key>[?&#;][^=&#;\s]*(?:token|secret|pass|pwd|key|sig|auth|cred|session)[^=&#;\s]*=)"
    r"[^&#;\s'\"<>]*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """`text`, a URL or words with URLs among them, with ``***`` for passwords and tokens.

    An ``@`` later than the host counts as well when what is before it can't be a host
    and port: a password may contain a slash that somebody forgot to encode.
    """
    return _QUERY.sub(r"\g<key>***", _AUTHORITY.sub(_without_password, text))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What programs that are not dirjobs inherit of an environment: all but the logins for
    stores, which are in ``FSSPEC_*`` and may be in ``DIRJOBS_URL``."""

    def is_secret(name: str, value: str) -> bool:
        if name.upper() == URL_VARIABLE:
            return "://" in value and without_login(value) != value
        return name.upper().startswith("FSSPEC_")

    return {name: value for name, value in environment.items() if not is_secret(name, value)}


def without_login(url: str) -> str:
    """`url` without user, password, query and fragment, however malformed it is.

    For messages about a URL that can't be read: it is cut at its last ``@``, since
    nobody knows which of the characters before that are part of a password.
    """
    scheme, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    return scheme + slashes + re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]


def _without_password(match: re.Match[str]) -> str:
    rest = match["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in authority and not re.fullmatch(r"[^:]*(?::\d*)?|\[[^]]*\](?::\d*)?", authority):
        authority = rest
    userinfo, at, _ = authority.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if not at or not colon:
        return match.group()
    return f"{match['before']}{user}:***{rest[len(userinfo) :]}"
