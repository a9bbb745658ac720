"""Names that some servers change, refuse or lose: tried by the suite and by a check."""

from __future__ import annotations

from collections.abc import Mapping

ODD_NAMES: Mapping[str, str] = {
    "a space": "{} b.txt",
    "percent signs": "{}%20%41.txt",
    "#": "{}#1.txt",
    "+ and &": "{}+&=.txt",
    "brackets and quotes": "{}[1](2){{3}}'.txt",
    "umlauts": "{}äöüß.txt",
    "umlauts in two characters": "{}a\u0308.txt",
    "another alphabet": "{}日本語.txt",
    "emoji": "{}🎲.txt",
    ";": "{};1.txt",
    "?": "{}?1.txt",
    ":": "{}:1.txt",
    "*": "{}*.txt",
    "a trailing dot": "{}.",
    "a trailing space": "{} ",
    "a leading space": " {}.txt",
    "a leading dot": ".{}.txt",
    "a leading tilde": "~{}.txt",
}
"""By what is odd in them; a word of the caller's goes into the braces."""
