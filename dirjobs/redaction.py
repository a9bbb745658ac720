"""URLs as people may see them."""

from __future__ import annotations

import re

_AUTHORITY = re.compile(r"(?P<before>://)(?P<rest>[^\s'\"<>]*)")
_QUERY = re.compile(
    r"(?P<key>[?&#;][^=&#;\s]*(?:token|secret|pass|pwd|key|sig|auth|cred|session)[^=&#;\s]*=)"
    r"[^&#;\s'\"<>]*",
    re.IGNORECASE,
)


def redacted(url: str) -> str:
    """`url`, or any text with URLs in it, with passwords and tokens replaced by ``***``.

    An ``@`` later than the host counts as well when what is before it can't be a host
    and port: a password may contain a slash that somebody forgot to encode.
    """
    return _QUERY.sub(r"\g<key>***", _AUTHORITY.sub(_without_password, url))


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
