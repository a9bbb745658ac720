"""Draw docs/architecture.svg: who imports whom in dirjobs, as the import graph tells it.

    python docs/draw_architecture.py

An arrow that follows from others is left out.  Needs grimp, which import-linter brings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import grimp

SHOWN = Path(__file__).with_name("architecture.svg")


class Box(NamedTuple):
    """What is drawn as one: modules or folders of dirjobs.

    Attributes:
        column, row: where.
        modules: what is in it.
        about: a line or two.
        colour: of its kind: programs, the queue, what keeps jobs safe, stores.
    """

    column: float
    row: float
    modules: tuple[str, ...]
    about: tuple[str, ...]
    colour: str


PROGRAM, QUEUE, CORE, STORE = "#fdf1dc", "#e3f0e3", "#dfeaf7", "#efe6f5"
LOWEST = (
    *("names", "clock", "threads", "redaction", "shell", "sizes", "placeholders"),
    *("temporary", "local_files", "typed", "version", "logins", "keyrings"),
)
BOXES = (
    Box(1, 0, ("cli",), ("the commands, one file each",), PROGRAM),
    Box(1, 1, ("runner",), ("the program behind", "dirjobs work"), PROGRAM),
    Box(2.3, 1, ("functions",), ("calls as jobs: Executor,", "joblib"), PROGRAM),
    Box(0, 3, ("console",), ("what is printed for people",), PROGRAM),
    Box(1, 3, ("sweep",), ("sets of parameters,", "and jobs made of them"), QUEUE),
    Box(3.6, 1, ("check",), ("what a share really", "guarantees"), PROGRAM),
    Box(1, 2, ("queue", "job", "table", "filesystem"), ("DirJobs, and what it gives",), QUEUE),
    Box(2, 3, ("files",), ("logs, results, checkpoints:", "here, and on the share"), QUEUE),
    Box(1, 4, ("worker", "heartbeat_thread"), ("takes jobs, and ends them",), QUEUE),
    Box(0.5, 5, ("admin",), ("what people do to a queue:", "add, look, retry, cancel"), QUEUE),
    Box(0.5, 6, ("recovery",), ("who is alive, and what", "the dead have left"), CORE),
    Box(0.5, 7, ("protocol",), ("who may run a job",), CORE),
    Box(0.5, 8, ("policy", "layout", "signing"), ("mode and times;", "what every file is"), CORE),
    Box(4.15, 6, ("testing",), ("the suite for stores,", "faults, races"), STORE),
    Box(1.9, 8, ("registry",), ("from a URL to a store",), STORE),
    Box(3.15, 8, ("backends",), ("posix, memory, fsspec, webdav,", "smb, sftp, objects"), STORE),
    Box(4.15, 8, ("layers",), ("stores around a store:", "retry, log"), STORE),
    Box(1.9, 9, ("store", "errors"), ("the contract",), STORE),
    Box(3.15, 9, LOWEST, (), STORE),
)
UNSEEN = ("__main__",)
BELOW = BOXES[-1]
"""Used nearly everywhere: no arrows lead there."""

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN, HEAD = 186, 60, 206, 92, 22, 12
FONT = "font-family='Helvetica, Arial, DejaVu Sans, sans-serif'"


def imports() -> dict[Box, set[Box]]:
    """The boxes that each box imports.

    Raises:
        SystemExit: a module is in no box, or an arrow does not lead down.
    """
    graph = grimp.build_graph("dirjobs")
    home = {module: box for box in BOXES for module in box.modules}
    found: dict[Box, set[Box]] = {box: set() for box in BOXES}
    for module in graph.modules - {"dirjobs"}:
        name = module.split(".")[1]
        if name in UNSEEN:
            continue
        if name not in home:
            raise SystemExit(f"dirjobs.{name} is in no box: add it to BOXES.")
        for imported in graph.find_modules_directly_imported_by(module):
            if imported != "dirjobs" and home[imported.split(".")[1]] is not home[name]:
                found[home[name]].add(home[imported.split(".")[1]])
    for box, others in found.items():
        others.discard(BELOW)
        for other in others:
            if other.row < box.row or (other.row == box.row and box in found[other]):
                raise SystemExit(f"{box.modules} imports {other.modules}, which is above it.")
    return found


def reachable(found: dict[Box, set[Box]], start: Box) -> set[Box]:
    seen, todo = set(), [start]
    while todo:
        for other in found[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def arrows() -> Iterator[tuple[Box, Box]]:
    """The imports that don't follow from others."""
    found = imports()
    for box in BOXES:
        for other in BOXES:
            rest = found[box] - {other}
            if other in found[box] and not any(other in reachable(found, one) for one in rest):
                yield box, other


def corner(box: Box) -> tuple[float, float]:
    return MARGIN + box.column * ACROSS, MARGIN + box.row * DOWN


def arrow(src: Box, dst: Box, style: str) -> str:
    """A curve from the lower edge of one box to the upper one of another; to the side if
    they are side by side."""
    (x1, y1), (x2, y2) = corner(src), corner(dst)
    if src.row == dst.row:
        right = x1 < x2
        x1, x2 = (x1 + WIDTH, x2) if right else (x1, x2 + WIDTH)
        y = y1 + HEIGHT / 2
        return f"<path d='M{x1:g} {y:g} L{x2:g} {y:g}' {style}/>"
    # Where a line begins and ends tells a little where it leads.
    lean = max(-0.35, min(0.35, (x2 - x1) / (2 * ACROSS))) * WIDTH
    x1, x2 = x1 + WIDTH / 2 + lean, x2 + WIDTH / 2 - lean
    y1 += HEIGHT
    bend = max(16.0, (y2 - y1) / 2)
    if src.column - dst.column > 2 and dst.row - src.row > 1:  # to its right edge
        x2, y2 = corner(dst)[0] + WIDTH, y2 + HEIGHT / 2
        curve = f"M{x1:g} {y1:g} C{x1:g} {y2:g} {x1:g} {y2:g} {x2:g} {y2:g}"
        return f"<path d='{curve}' {style}/>"
    curve = f"M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    return f"<path d='{curve}' {style}/>"


def draw() -> str:
    line = "fill='none' stroke='#7a8290' stroke-width='1.4' marker-end='url(#head)'"
    by_name = {box.modules[0]: box for box in BOXES}
    parts = [arrow(src, dst, line) for src, dst in arrows()]
    (left, y), (right, _) = corner(by_name["registry"]), corner(by_name["backends"])
    left, y = left + WIDTH, y + HEIGHT / 2
    parts.append(f"<path d='M{left:g} {y:g} L{right:g} {y:g}' {line} stroke-dasharray='5 4'/>")
    parts.append(
        f"<text x='{(left + right) / 2:g}' y='{y - 7:g}' font-size='10.5' fill='#3c4656'"
        " text-anchor='middle'>entry points</text>"
    )
    for box in BOXES:
        x, y = corner(box)
        titles = [line.strip(" ·") for line in wrap(" · ".join(box.modules), 21)]
        parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{WIDTH}' height='{HEIGHT}' rx='7'"
            f" fill='{box.colour}' stroke='#7a8290'/>"
        )
        rows = [(title, "font-size='13.5' font-weight='bold' fill='#1d2530'") for title in titles]
        rows += [(about, "font-size='11.5' fill='#3c4656'") for about in box.about]
        middle, first = x + WIDTH / 2, y + HEIGHT / 2 + 4 - 7.5 * (len(rows) - 1)
        for number, (text, style) in enumerate(rows):
            parts.append(
                f"<text x='{middle:g}' y='{first + 15 * number:g}' text-anchor='middle' {style}>"
                f"{escape(text)}</text>"
            )
    width = 2 * MARGIN + WIDTH + ACROSS * max(box.column for box in BOXES)
    height = 2 * MARGIN + HEIGHT + DOWN * max(box.row for box in BOXES)
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}'"
            f" width='{width:g}' height='{height:g}' {FONT}>",
            "<title>Imports in dirjobs</title>",
            f"<defs><marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='{HEAD}'"
            f" markerHeight='{HEAD}' markerUnits='userSpaceOnUse' orient='auto'>"
            "<path d='M0 1 L10 5 L0 9 z' fill='#7a8290'/></marker></defs>",
            f"<rect width='{width:g}' height='{height:g}' fill='#ffffff'/>",
            *parts,
            "</svg>\n",
        ]
    )


def main() -> None:
    SHOWN.write_text(draw(), "utf-8")
    sys.stdout.write(f"{os.path.relpath(SHOWN)}: {SHOWN.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
