"""The reader of PROPFIND answers: what is a name in this folder, and what is an attack."""

from __future__ import annotations

import tracemalloc
import unicodedata

import pytest

from dirjobs.backends.webdav import propfind as _propfind
from dirjobs.backends.webdav.directory import _HOSTILE, Listing, parse_date, parse_size
from dirjobs.backends.webdav.propfind import BadAnswer, Multistatus
from dirjobs.errors import NotFound, StoreError
from dirjobs.names import unsafe_name
from dirjobs.store import FileKind

DATE = "Mon, 23 Nov 2026 21:33:44 GMT"


def response(href, *, kind="", length="5", date=DATE, status="HTTP/1.1 200 OK"):
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>"
        f"<D:resourcetype>{kind}</D:resourcetype>"
        f"<D:getlastmodified>{date}</D:getlastmodified>"
        f"<D:getcontentlength>{length}</D:getcontentlength>"
        f"</D:prop><D:status>{status}</D:status></D:propstat></D:response>"
    )


FOLDER = response("/dav/jobs/", kind="<D:collection/>", length="")


def document(*responses):
    head = '<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:">'
    return head + "".join(responses) + "</D:multistatus>"


def listing(xml, *, scheme="http", host="cloud", port=None, folder="/dav/jobs/", step=7):
    found = Listing(scheme, host, port, folder)
    reader = Multistatus(found.add)
    data = xml if isinstance(xml, bytes) else xml.encode()
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    reader.close()
    return found.believed("http://cloud/dav/jobs")


def names(*hrefs, **where):
    return [entry.name for entry in listing(document(FOLDER, *map(response, hrefs)), **where)]


def test_name_size_time_and_kind():
    folder = response("/dav/jobs/sub/", kind="<D:collection/>", length="4096")
    file, sub = listing(document(FOLDER, response("/dav/jobs/job1.txt"), folder))
    assert file == ("job1.txt", 1795469624.0, 5, FileKind.FILE, None)
    assert sub == ("sub", 1795469624.0, None, FileKind.FOLDER, None)


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/dav/jobs/a%20b", "a b"),
        ("/dav/jobs/a b", "a b"),
        ("/dav/jobs/a%2541", "a%41"),  # decoded once
        ("/dav/jobs/a%250ab", "a%0ab"),
        ("/dav/jobs/a#b", "a#b"),  # one server doesn't encode it
        ("/dav/jobs/%E6%97%A5", "日"),
        ("/dav/jobs/%e6%97%a5", "日"),
        ("/dav/jobs/u%CC%88", "u\u0308"),
        ("/d%61v/jobs/x", "x"),
        ("http://cloud/dav/jobs/x", "x"),
        ("http://CLOUD:80/dav/jobs/x", "x"),
        ("x", "x"),
        ("/dav/jobs/-rf", "-rf"),
        ("/dav/jobs/$(x)", "$(x)"),
        ("/dav/jobs/a+b&amp;c", "a+b&c"),
        ("/dav/jobs/w1~ab-1.w2.job", "w1~ab-1.w2.job"),
        ("\n /dav/jobs/x \n", "x"),
    ],
)
def test_spellings_of_an_href(href, name):
    assert names(href) == [name]


@pytest.mark.parametrize(
    "href",
    [
        "../x",
        "..%2fx",
        "/dav/jobs/..%2fx",
        "/dav/jobs/%2e%2e/",
        "/dav/jobs/..",
        "/dav/jobs/.",
        "/dav/jobs/%2E",
        "/dav/jobs/..\\x",
        "/dav/jobs/..%5Cx",
        "/etc/passwd",
        "//evil/dav/jobs/x",
        "//evil/x",
        "http://evil/dav/jobs/x",
        "http://cloud:8080/dav/jobs/x",
        "http://cloud@evil/dav/jobs/x",
        "ftp://cloud/dav/jobs/x",
        "file:///dav/jobs/x",
        "C:x",
        "/dav/jobs/a%00b",
        "/dav/jobs/a%0Ab",
        "/dav/jobs/a%0D%0AX: y",
        "/dav/jobs/a/b",
        "/dav/jobs//x",
        "/dav/jobs/x//",
        "/dav/x",
        "/dav/jobs/%FF",
        "/dav/jobs/%ED%A0%80",  # a lone surrogate
        "/dav/jobs/%E2%80%AEgpj.exe",  # right to left override
        "/dav/other/../jobs/x",
    ],
)
def test_hostile_hrefs_are_no_names(href, caplog):
    assert names(href, "/dav/jobs/good") == ["good"]
    assert "ignored 1 names" in caplog.text


def test_hostile_hrefs_are_told_of_once_and_again_when_they_change(caplog):
    for _ in range(3):
        names("/somewhere/else", "/dav/jobs/good")
    names("/somewhere/else/again", "/dav/jobs/good")
    assert caplog.text.count("ignored 1 names") == 2


def test_a_listing_of_another_place_is_an_error_and_not_empty():
    with pytest.raises(StoreError, match="other places only"):
        listing(document(response("http://inner:8080/files/job1.txt")))


def test_names_from_behind_a_proxy_that_ends_tls():
    where = {"scheme": "https", "folder": "/dav/jobs/"}
    assert names("http://cloud/dav/jobs/x", "https://cloud/dav/jobs/y", **where) == ["x", "y"]
    assert names("https://cloud/dav/jobs/y", "/dav/jobs/z", scheme="http") == ["z"]


def test_one_name_in_two_spellings_is_one_entry():
    assert names("/dav/jobs/aA", "/dav/jobs/a%41") == ["aA"]


def test_the_folder_itself_in_any_spelling_is_not_in_it():
    for own in ("/dav/jobs", "/dav/jobs/", "http://cloud/dav/jobs", "/dav/%6Aobs/"):
        xml = document(response(own, kind="<D:collection/>"), response("/dav/jobs/x"))
        assert [entry.name for entry in listing(xml)] == ["x"]


def test_a_file_is_no_folder():
    with pytest.raises(NotFound, match="is a file"):
        listing(document(response("/dav/jobs")))


def test_only_the_propstat_with_200_counts():
    xml = document(
        FOLDER,
        "<D:response><D:href>/dav/jobs/x</D:href>"
        "<D:propstat><D:prop><D:getcontentlength>9</D:getcontentlength></D:prop>"
        "<D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
        "<D:propstat><D:prop><D:resourcetype/></D:prop>"
        "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
    )
    assert listing(xml) == [("x", None, None, FileKind.FILE, None)]


def test_what_went_away_meanwhile_is_left_out():
    gone = (
        "<D:response><D:href>/dav/jobs/g</D:href><D:status>HTTP/1.1 404 No</D:status></D:response>"
    )
    xml = document(FOLDER, response("/dav/jobs/h", status="HTTP/1.1 404 No"), gone)
    assert listing(xml) == []


def test_elements_count_only_in_their_place():
    tricky = response("/dav/jobs/x", kind="<D:x><D:collection/></D:x>").replace(
        "<D:prop>", "<D:prop><D:owner><D:href>/dav/jobs/owner</D:href></D:owner>"
    )
    assert listing(document(FOLDER, tricky)) == [("x", 1795469624.0, 5, FileKind.FILE, None)]


def test_another_namespace_is_another_element():
    xml = document(FOLDER, response("/dav/jobs/x")).replace("DAV:", "dav:")
    with pytest.raises(BadAnswer, match="<multistatus> document"):
        listing(xml)


@pytest.mark.parametrize("prefix", ["D", "lp1", "ä"])
def test_prefixes_mean_nothing(prefix):
    xml = document(FOLDER, response("/dav/jobs/x"))
    xml = xml.replace("DAV:", "\0").replace("D:", f"{prefix}:").replace(":D=", f":{prefix}=")
    assert [entry.name for entry in listing(xml.replace("\0", "DAV:"))] == ["x"]


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "0123456789"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
@pytest.mark.parametrize(
    "dtd", [BOMB, '<!DOCTYPE D SYSTEM "file:///etc/passwd">', "<!DOCTYPE html>"]
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_document_types_are_refused_in_any_encoding(encoding, dtd, step):
    declared = "utf-8" if encoding == "utf-8-sig" else encoding.removesuffix("-be")
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    bom = "\ufeff" if encoding == "utf-16-be" else ""
    xml = bom + head + dtd + document(FOLDER, response("&c;")).partition("?>")[2]
    with pytest.raises(BadAnswer, match="document type"):
        listing(xml.encode(encoding), step=step)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not well-formed"),
        (b"garbage", "not well-formed"),
        (b"\xff\xfe\x00\x00\x01", "not well-formed"),
        (b"<html><head></head><body>Log in</body></html>", "<html> document"),
        (document(FOLDER).encode()[:-9], "not well-formed"),
        (document(FOLDER).encode() + b"<x/>", "not well-formed"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "not well|encoding|document"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "not well|encoding"),
        (b"<a>&undefined;</a>", "not well-formed|document"),
        (b"<D:multistatus/>", "not well-formed"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_what_is_no_listing_is_refused(data, why, step):
    with pytest.raises(BadAnswer, match=why):
        listing(data, step=step)


def test_bytes_are_capped_by_what_they_list(monkeypatch):
    monkeypatch.setattr(_propfind, "MAX_BYTES", 1000)
    monkeypatch.setattr(_propfind, "ENTRY_BYTES", 400)
    many = document(FOLDER, *(response(f"/dav/jobs/{i}") for i in range(100)))
    assert len(many) > 10 * 1000
    assert len(listing(many, step=500)) == 100
    with pytest.raises(BadAnswer, match="longer than 1000 bytes, with 0 entries"):
        listing(document(FOLDER) + " " * 2000, step=500)


def test_entries_are_capped(monkeypatch):
    monkeypatch.setattr(_propfind, "MAX_ENTRIES", 10)
    xml = document(FOLDER, *(response(f"/dav/jobs/{i}") for i in range(9)))
    assert len(listing(xml)) == 9
    with pytest.raises(BadAnswer, match="more than 10 entries"):
        listing(document(FOLDER, *(response(f"/dav/jobs/{i}") for i in range(10))))


@pytest.mark.parametrize(
    "entry",
    [
        response("/dav/jobs/" + "x" * 600_000),
        "<a>" * 100_000 + "</a>" * 100_000,
        response("/dav/jobs/x", kind="<y>" + "t" * 600_000 + "</y>"),
    ],
)
def test_one_entry_is_capped(entry):
    with pytest.raises(BadAnswer, match="an entry of more than"):
        listing(document(FOLDER, entry, response("/dav/jobs/y")), step=65536)


def test_memory_stays_flat_over_100_000_entries():
    """What is there at the peak beyond the result is less than 5 MB, for a 30 MB answer."""
    pieces = [response(f"/dav/jobs/job{i}.txt").encode() for i in range(1000)]
    found = Listing("http", "cloud", None, "/dav/jobs/")
    reader = Multistatus(found.add)
    head, tail = document("@").encode().split(b"@")
    tracemalloc.start()
    try:
        reader.feed(head)
        for block in range(100):
            text = b"".join(pieces).replace(b"jobs/job", b"jobs/job%d-" % block)
            reader.feed(text)
        reader.feed(tail)
        reader.close()
        entries = found.believed("x")
        result, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entries) == 100_000
    assert peak - result < 5_000_000


def test_characters_that_are_refused_are_those_of_the_grammar():
    for code in range(0x30000):
        char = chr(code)
        refused = unsafe_name(f"a{char}b") is not None
        assert bool(_HOSTILE.search(char)) == refused, (hex(code), unicodedata.category(char))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10),
        ("Thursday, 01-Jan-70 00:00:10 GMT", 10),
        ("Thu, 01 Jan 1970 01:00:10 +0100", 10),
        ("Wed, 31 Dec 1969 23:59:50 GMT", -10),
        ("Thu Jan  1 00:00:10 1970", 10),  # asctime, which is GMT in HTTP
        ("Thu, 01 Jan 1970 00:00:10", None),  # whose clock?
        ("01.01.1970 00:00:10", None),
        ("", None),
        (None, None),
        ("garbage", None),
        ("Thu, 99 Foo 99999999 99:99:99 GMT", None),
        ("Thu, 01 Jan 999999999999999999999 00:00:10 GMT", None),
    ],
)
def test_dates(text, seconds):
    assert parse_date(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (" 12\n", 12),
        ("-1", None),
        ("1e9", None),
        ("", None),
        (None, None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size
