"""Makes an input that is nearly right of one that is."""

from __future__ import annotations

import random
import struct

_BYTES = [
    b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?x ?>", b"&#0;", b"&#x10FFFF;",
    b"&lt;", b"%00", b"%2f", b"%", b"..", b"/", b"\\", b"HTTP/1.1 404 X",
    b"HTTP/1.1 " + b"9" * 5000,
    b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b'encoding="utf-16"', b'encoding="cp1252"',
    b'encoding="idna"', b'encoding="punycode"', b'encoding="hex"', b'encoding="zlib_codec"',
    b"<D:href>", b"</D:href>", b"<D:status/>", b"<D:propstat/>", b"<D:collection/>", b"http://h/",
    b"//", b"#", b"?", b";", b"\xed\xa0\x80", b"\xe2\x80\xae", b"<!DOCTYPE a>", b"xmlns:D='x'",
    b"9" * 4400, b"-1", b"1e999", b"1e-999", b"NaN", b"Infinity", b"[", b"{", b"]", b"}", b'"',
    b"\\ud800", b"\\u0000", b"null", b"true", b"[" * 3000, b"[[[[", b"1" * 25, b"1e12", b"0",
    b"\r\n", b"\n", b"\r", b":", b",", b"|", b"\t", b"Content-Length: 99", b"Content-Length: -1",
    b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Content-Encoding: br",
    b"Location: http://u:p@h:99999/", b"Location: //[::1", b"Set-Cookie: a=b; expires=x",
    b'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth"', b"WWW-Authenticate: Digest ,=",
    b"WWW-Authenticate: Basic", b"Retry-After: 1e9", b"Connection: close", b"HTTP/1.1 100 C",
]  # fmt: skip
_NUMBERS = [0, 1, 7, 8, 63, 64, 72, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_TEXTS = [
    "~", ".", "/", "\\", ":", "@", "%", "%2", "%zz", "%ff", "%00", "[", "]", "..", "...", "-", "{",
    "}", "{{", "$", "#", "?", "\0", "\n", " ", "::", "://", "\ud800", "\udcff", "inf", "nan", "0x",
    "1e", "e9999999", "9" * 30, "9" * 5000, "=", ",", ";", "user:pa@ss@", "ä", "\u202e", "\ufeff",
    "xn--", "a" * 80, "CON", "socks5://", "socks://", "localhost", "[::1]", "%25", "\x1b", "\x85",
]  # fmt: skip


def mutated(data: bytes, dice: random.Random) -> bytes:
    """`data` with some bytes changed, cut, repeated, or put in from a list of odd ones."""
    if dice.random() < 0.02:
        return dice.randbytes(dice.randrange(300))
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        at = dice.randrange(len(changed) + 1)
        way = dice.random()
        if way < 0.25:
            changed[at : at + 1] = bytes([dice.randrange(256)])
        elif way < 0.5:
            changed[at:at] = dice.choice(_BYTES)
        elif way < 0.6:
            number = struct.pack(dice.choice(("<I", ">I")), dice.choice(_NUMBERS))
            changed[at : at + 4] = number
        elif way < 0.75:
            del changed[at : at + dice.randrange(1, 40)]
        elif way < 0.8:
            del changed[at:]
        else:
            start = dice.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + dice.randrange(1, 80)]
    return bytes(changed)


def mutated_text(text: str, dice: random.Random) -> str:
    """The same for text, which may have half surrogates in it as file names have."""
    changed = list(text)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at = dice.randrange(len(changed) + 1)
        way = dice.random()
        if way < 0.3:
            highest = dice.choice((0x80, 0x250, 0x110000))
            changed[at : at + 1] = [chr(dice.randrange(highest))]
        elif way < 0.6:
            changed[at:at] = list(dice.choice(_TEXTS))
        elif way < 0.8:
            del changed[at : at + dice.randrange(1, 6)]
        else:
            start = dice.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + dice.randrange(1, 8)]
    return "".join(changed)
