"""``python -m tests.fake_webdav``: serve the fake until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from .personalities import PERSONALITIES
from .server import FakeWebDAV


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_webdav", description=__doc__)
    parser.add_argument("--personality", choices=sorted(PERSONALITIES), default="atomic")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--user", help="ask for Basic authentication")
    parser.add_argument("--password-file", help="its first line is the password")
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="end with standard input too, so as not to outlive who started it",
    )
    args = parser.parse_args(argv)
    if (args.user is None) != (args.password_file is None):
        parser.error("--user and --password-file go together")
    password = None
    if args.password_file is not None:
        with open(args.password_file, encoding="utf-8") as file:
            password = file.readline().rstrip("\n")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if args.until_eof:
        threading.Thread(target=_wait_for_eof, args=(ended,), daemon=True).start()
    server = FakeWebDAV(PERSONALITIES[args.personality], args.user, password, port=args.port)
    with server:
        print(server.url, flush=True)
        ended.wait()
    for error in server.handler_errors:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1 if server.handler_errors else 0


def _wait_for_eof(ended: threading.Event) -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock, held here, would abort the exit
        pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
