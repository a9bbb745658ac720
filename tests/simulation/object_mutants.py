# ruff: noqa: E501
"""Queues on object storage without one of their rules: the simulation must find each out."""

from __future__ import annotations

from collections.abc import Mapping

MUTANTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "no look at the payload after the claim": (
        (
            "if not self._waits_rightly(life):\n                self",
            "if 0:\n                self",
        ),
    ),
    "a claim without an answer is a claim": (
        (
            "            if found is None:\n                raise",
            "            if found is None and RUNNING in path:\n                return True\n            if found is None:\n                raise",
        ),
    ),
    "'exists' means that it is another's": (
        (
            "            return found.is_same(marker)",
            "            return False",
        ),
    ),
    "'exists' means that it is ours": (
        (
            "            return found.is_same(marker)",
            "            return True",
        ),
    ),
    "an end replaces what is there": (
        (
            "            mine = self._create(life.fence, end)\n",
            "            self._replace(life.fence, end)\n            mine = True\n",
        ),
        (
            "    def _make(self, path: str, data: bytes) -> None:",
            "    def _replace(self, path, marker):\n        with suppress(StoreError):\n            self._make(path, b'')\n        self.store.write(path, json.dumps(msgspec.to_builtins(marker)).encode())\n        self._read[path] = marker\n\n    def _make(self, path: str, data: bytes) -> None:",
        ),
        (
            "from contextlib import contextmanager",
            "from contextlib import contextmanager, suppress",
        ),
    ),
    "an end for each outcome": (
        (
            'return f"{ENDED}/{self.folder}/{self.name}/{self.identity}"',
            'return f"{ENDED}/{self.folder}/{self.name}/{self.identity}{OUTCOME[0]}"',
        ),
        (
            "            mine = self._create(life.fence",
            "            OUTCOME[0] = end.to[:2]\n            mine = self._create(life.fence",
        ),
        ("_ID = 12\n", '_ID = 12\nOUTCOME = [""]\n'),
    ),
    "the end is tidied away with the claims": (
        (
            "        for k in sorted(chain.claims):\n",
            "        self._discard(life.fence)\n        self._read.pop(life.fence, None)\n        for k in sorted(chain.claims):\n",
        ),
    ),
    "claims are deleted before the payload": (
        (
            "        if self._is_there(life):\n            try:\n",
            "        if k:\n            self._tidy(life, _Chain(dict.fromkeys(range(1, k + 1), Entry('')), {*range(1, k)}))\n        if self._is_there(life):\n            try:\n",
        ),
    ),
    "the payload is deleted before its copy is there": (
        (
            "            self._make(to, self._content(path))\n",
            "            data = self._content(path)\n            self.store.remove(path)\n            self._make(to, data)\n",
        ),
    ),
    "'exists' is believed of a copy": (
        (
            '            if not self._is_object(to):\n                raise AmbiguousResult(f"{path!r} is to be',
            '            if False:\n                raise AmbiguousResult(f"{path!r} is to be',
        ),
    ),
    "whoever gives back deletes the claim": (
        (
            '        if not self._create(life.end(k), _Marker(self._by)):\n            raise self._nothing(f"{RUNNING}/{name}")\n\n    def _end',
            "        self.store.remove(life.claim(k))\n\n    def _end",
        ),
    ),
    "a name used again has its plain name": (
        (
            '                self._send(life, _Marker(self._by, to=f"{dst}~{life.identity}"), 0)',
            '                self._send(life, _Marker(self._by, to=dst if target == WAITING else f"{dst}~{life.identity}"), 0)',
        ),
    ),
    "the first attempt's name for all": (
        ("life, k = job.life, job.ended + 1", "life, k = job.life, 1"),
    ),
    "nobody carries for the dead": (
        (
            "        if ended is None:\n            return False\n        folder",
            "        if ended is None or ended.by != self._by:\n            return False\n        folder",
        ),
    ),
    "a copy made anew is a job": (
        (
            "        if not ends - {life.identity}:\n            return False\n",
            "        if ends or not ends:\n            return False\n",
        ),
    ),
    "whoever lost the claim may end the job": (
        (
            "            mine = self._create(life.fence, end)\n",
            "            mine = self._create(life.fence, end) or True\n",
        ),
    ),
    "the server ignores conditions": (),
}
"""The layer without a rule: old text, there exactly once, and new."""
