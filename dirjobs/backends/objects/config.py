"""Where objects are and how to reach them: URLs and the tables of options.

Pure functions and records; nothing here opens a connection.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dirjobs.backends import _config as option
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import redacted, without_login
from dirjobs.store import Guarantees

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}")
_ACCOUNT = re.compile(r"([a-z0-9]{3,24})\.(?:dfs|blob)\.(.+)", re.IGNORECASE)
_URL = r"https?://[^/\x00-\x20\x7f@][^\x00-\x20\x7f@]*"
_EMULATED = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "http://127.0.0.1:10000/devstoreaccount1",
)
"""Account, key (the same everywhere, and in Microsoft's documentation) and address of emulators."""


def _mapping(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise ConfigurationError(f"the option {name!r} must be a dict.")


def _dict() -> option.Option:
    return option.Option(_mapping, {})


_ENDPOINT = option.matching(_URL, "a URL such as https://s3.example.org.")
_SHARED: dict[str, option.Option] = {
    "anon": option.flag(default=False),
    "endpoint_url": _ENDPOINT,
    "ca": option.anything(),  # a file of certificates
    "verify": option.flag(default=True),
    "timeout": option.seconds(30.0),  # for one request
    "guarantees": option.guarantees(),
}
_S3 = option.Options(
    "S3 buckets",
    ("s3",),
    # A key of one source never goes with another one's secret.
    username=option.text(),
    key=option.stands_for("username"),
    password=option.secret(),
    secret=option.stands_for("password"),
    token=option.secret(),
    profile=option.text(),
    region=option.text(),
    addressing_style=option.one_of("path", "virtual", "auto", default="path"),
    use_ssl=option.flag(default=True),
    client_kwargs=_dict(),
    config_kwargs=_dict(),
    **_SHARED,
)
_GCS = option.Options(
    "Google's buckets",
    ("gs", "gcs"),
    token=option.anything(),  # a file, the content of one as a dict, "anon", "google_default"
    project=option.anything(),  # of no use to requests for objects
    **_SHARED,
)
_AZURE = option.Options(
    "Azure's containers",
    ("az", "abfs"),
    username=option.text(),
    account_name=option.stands_for("username"),
    password=option.secret(),
    account_key=option.stands_for("password"),
    connection_string=option.secret(),
    sas_token=option.secret(),
    tenant_id=option.text(),
    client_id=option.text(),
    client_secret=option.secret(),
    **_SHARED,
)
_KINDS = {
    "s3": ("s3", _S3),
    "gs": ("gs", _GCS),
    "gcs": ("gs", _GCS),
    "az": ("az", _AZURE),
    "abfs": ("az", _AZURE),
    "abfss": ("az", _AZURE),
}


class Place(NamedTuple):
    """What a URL says."""

    kind: str  # s3, gs or az
    bucket: str
    prefix: str
    account: str = ""
    suffix: str = ""  # of Azure's host names: core.windows.net


@dataclass(frozen=True)
class Config:
    """Objects under a prefix, and everything needed to reach them; prints no secret.

    Attributes:
        kind: ``s3``, ``gs`` or ``az``.
        bucket: or container.
        prefix: of all keys, without a slash at its ends.
        url: for people.
        settings: of the library, for this kind.
        client: of its HTTP client.
        timeout: seconds for one request.
        guarantees: what a user knows of the place, or None.
    """

    kind: str
    bucket: str
    prefix: str
    url: str
    settings: Mapping[str, Any] = field(repr=False)
    client: Mapping[str, Any] = field(repr=False)
    timeout: float
    guarantees: Guarantees | None

    __reduce__ = option.refuse_pickling

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that nobody may see."""
        names = ("secret_access_key", "session_token", "account_key", "sas_key", "client_secret")
        return tuple(str(self.settings[name]) for name in names if self.settings.get(name))

    @property
    def server(self) -> str:
        """What is asked, for messages."""
        endpoint = self.settings.get("endpoint") or self.settings.get("base_url")
        return str(endpoint) if endpoint else _VENDORS[self.kind]


_VENDORS = {"s3": "Amazon S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}


def read(url: str, options: Mapping[str, Any], timeout: float | None = None) -> Config:
    """The place with its options; `timeout` is for who has no wish in them.

    Raises:
        ConfigurationError: something of it can't be; the message shows no secret.
    """
    place = parse(url)
    _, table = _KINDS[url.partition("://")[0].lower()]
    found = table.read(options, {"timeout": timeout, "username": place.account or None})
    settings = {"s3": _s3, "gs": _gcs, "az": _azure}[place.kind](place, found)
    endpoint = settings.get("endpoint") or settings.get("base_url") or ""
    shown = f"{place.kind}://{place.bucket}"
    return Config(
        kind=place.kind,
        bucket=place.bucket,
        prefix=place.prefix,
        url=f"{shown}/{place.prefix}" if place.prefix else f"{shown}/",
        settings={name: value for name, value in settings.items() if value is not None},
        client=_client(found, allow_http=str(endpoint).startswith("http://")),
        timeout=found["timeout"],
        guarantees=found["guarantees"],
    )


# -- the URL -----------------------------------------------------------------------------


def parse(url: str) -> Place:
    """Take apart ``s3://bucket/prefix`` and its like.

    Raises:
        ConfigurationError: it is not the URL of objects; the message shows no secret.
    """
    scheme, slashes, rest = url.partition("://")
    kind, _ = _KINDS.get(scheme.lower(), ("", None))
    if not kind or not slashes:
        raise _refusal(url, "is not one of object storage: it begins with s3://, gs:// or az://.")
    if _CONTROL.search(url) or option.is_no_text(url):
        raise _refusal(url, "contains a control character, or is not UTF-8: correct it.")
    if "?" in rest or "#" in rest:
        raise _refusal(
            url, "has a query or a fragment, which no prefix has: give a token as an option."
        )
    bucket, _, path = rest.partition("/")
    account = suffix = ""
    if "@" in bucket:
        bucket, _, host = bucket.rpartition("@")
        found = _ACCOUNT.fullmatch(host)
        if kind != "az" or found is None or ":" in bucket:
            raise _refusal(
                url,
                "has a login before the bucket: give it as options (key and secret, or"
                " account_name and account_key), or in fsspec's configuration.",
            )
        account, suffix = found[1], found[2]
    if not _BUCKET.fullmatch(bucket):
        raise _refusal(url, f"has no valid bucket: write {scheme}://BUCKET/PREFIX.")
    parts = [part for part in path.split("/") if part]
    for part in parts:
        if part in (".", "..") or "\\" in part:
            raise _refusal(url, f"can't be used because of {part!r} in its path.")
    return Place(kind, bucket, "/".join(parts), account, suffix)


def _refusal(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the URL {redacted(without_login(url))!r} {why}")


# -- what the library is told -------------------------------------------------------------


def _client(found: Mapping[str, Any], *, allow_http: bool) -> dict[str, Any]:
    timeout = found["timeout"]
    client: dict[str, Any] = {
        "timeout": f"{max(1, round(timeout * 1000))}ms",
        "connect_timeout": f"{max(1, round(min(timeout, 10.0) * 1000))}ms",
        "allow_http": allow_http,
        "http1_only": True,
    }
    if not found["verify"]:
        client["allow_invalid_certificates"] = True
    if found["ca"] is not None:
        path = os.path.expanduser(found["ca"])
        try:
            with open(path, "rb") as file:
                client["root_certificate"] = file.read(1 << 20)
        except OSError as error:
            raise ConfigurationError(
                f"the certificates {path!r} (option 'ca') can't be read: {error.strerror}."
            ) from error
    return client


_CLIENT_KWARGS = {
    "endpoint_url": "endpoint_url",
    "region_name": "region",
    "verify": "verify",
    "use_ssl": "use_ssl",
    "aws_access_key_id": "username",
    "aws_secret_access_key": "password",
    "aws_session_token": "token",
}
"""What s3fs passes on to botocore, and which option says the same."""


def _s3(place: Place, found: dict[str, Any]) -> dict[str, Any]:
    for name, value in found["client_kwargs"].items():
        if name not in _CLIENT_KWARGS:
            raise ConfigurationError(
                f"client_kwargs has {name!r}, which means nothing here: there are"
                f" {', '.join(_CLIENT_KWARGS)}."
            )
        same = _CLIENT_KWARGS[name]
        if isinstance(value, str) and same == "verify":
            found["ca"] = value
        else:
            found[same] = _S3.table[same].check(name, value)
    style = (found["config_kwargs"].get("s3") or {}).get("addressing_style")
    if style is not None:
        found["addressing_style"] = _S3.table["addressing_style"].check("addressing_style", style)
    if found["username"] and found["password"] is None:
        raise ConfigurationError("S3 has a 'key' without its 'secret': give both.")
    kept: Mapping[str, str] = {}
    if not (found["anon"] or found["username"]):
        kept = _from_profile(found["profile"])
    endpoint = found["endpoint_url"] or kept.get("endpoint_url")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and not found["use_ssl"]:
        endpoint = re.sub("^https:", "http:", endpoint)
    virtual = found["addressing_style"] == "virtual"
    if virtual and endpoint:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{place.bucket}.{host}"
    region = found["region"] or kept.get("region")
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {
        "endpoint": endpoint and endpoint.rstrip("/"),
        "region": region or "us-east-1",
        "access_key_id": found["username"] or kept.get("aws_access_key_id"),
        "secret_access_key": found["password"] or kept.get("aws_secret_access_key"),
        "session_token": found["token"] or kept.get("aws_session_token"),
        "skip_signature": True if found["anon"] else None,
        "virtual_hosted_style_request": virtual,
        "disable_bulk_delete": True,
        "conditional_put": "etag",
    }


def _from_profile(profile: str | None) -> dict[str, str]:
    """What ``~/.aws`` says for a profile, which the library doesn't read.

    Raises:
        ConfigurationError: there is no profile of that name.
    """
    named = profile or os.environ.get("AWS_PROFILE")
    if not named and os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    wanted = named or "default"
    said: dict[str, str] = {}
    there = False
    for variable, path, prefix in (
        ("AWS_CONFIG_FILE", "~/.aws/config", "" if wanted == "default" else "profile "),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", ""),
    ):
        path = os.path.expanduser(os.environ.get(variable) or path)
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            # Its text quotes the file, and so perhaps a key.
            raise ConfigurationError(f"{path!r} is malformed: correct it.") from None
        if parser.has_section(f"{prefix}{wanted}"):
            there = True
            said |= dict(parser.items(f"{prefix}{wanted}"))
    if named and not there:
        raise ConfigurationError(
            f"there is no profile {named!r} in ~/.aws/credentials or ~/.aws/config."
        )
    return said


def _gcs(place: Place, found: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    token = found["token"]
    settings: dict[str, Any] = {}
    if found["anon"] or token == "anon":  # noqa: S105 - gcsfs's word for none
        settings["skip_signature"] = True
    elif isinstance(token, Mapping):
        import json

        settings["service_account_key"] = json.dumps(dict(token))
    elif isinstance(token, str) and token not in ("google_default", "cloud", "cache", "browser"):
        path = os.path.expanduser(token)
        if not os.path.isfile(path):
            raise ConfigurationError(
                "the option 'token' must be the path of a service account's JSON file, its content"
                " as a dict, 'anon', or 'google_default'."
            )
        settings["service_account"] = path
    endpoint = found["endpoint_url"] or os.environ.get("STORAGE_EMULATOR_HOST")
    return {**settings, "base_url": endpoint and endpoint.rstrip("/")}


def _azure(place: Place, found: dict[str, Any]) -> dict[str, Any]:
    account, key, sas = found["username"], found["password"], found["sas_token"]
    endpoint = found["endpoint_url"]
    said = found["connection_string"] or (
        os.environ.get("AZURE_STORAGE_CONNECTION_STRING") if not account else None
    )
    if said:
        parts = _connection_string(said)
        if account and parts.get("accountname", account) != account:
            raise ConfigurationError(
                f"the connection string is not one of the account {account!r}: leave one out."
            )
        account = account or parts.get("accountname")
        key = key or parts.get("accountkey")
        sas = sas or parts.get("sharedaccesssignature")
        endpoint = endpoint or parts.get("blobendpoint")
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            account, key, endpoint = _EMULATED
        if not endpoint and account and "endpointsuffix" in parts:
            protocol = parts.get("defaultendpointsprotocol", "https")
            endpoint = f"{protocol}://{account}.blob.{parts['endpointsuffix']}"
    account = account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise ConfigurationError(
            "nobody says which account of Azure has the container: give the option account_name"
            " or connection_string, or set AZURE_STORAGE_ACCOUNT_NAME."
        )
    if not endpoint and place.suffix and place.suffix.lower() != "core.windows.net":
        endpoint = f"https://{account}.blob.{place.suffix}"
    if endpoint and not urlsplit(endpoint).hostname:
        raise ConfigurationError("the endpoint in the connection string is no URL: correct it.")
    return {
        "account_name": account,
        "account_key": key or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") if not sas else None,
        "sas_key": sas and sas.lstrip("?"),
        "tenant_id": found["tenant_id"],
        "client_id": found["client_id"],
        "client_secret": found["client_secret"],
        "skip_signature": True if found["anon"] else None,
        "endpoint": endpoint and endpoint.rstrip("/"),
    }


def _connection_string(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.strip().split(";"):
        name, equals, value = part.partition("=")
        if part.strip() and not equals:
            # It is not shown: it is, or has, a key.
            raise ConfigurationError(
                "the connection string can't be understood: it is NAME=VALUE;NAME=VALUE..."
            )
        parts[name.strip().lower()] = value.strip()
    return parts
