"""Holes between the threads of one `DirJobs`: `thread_runs` must find each of them.

Each takes a mended race's fix out again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThreadMutant:
    """A changed package.

    Attributes:
        name: what it does wrong.
        patches: module, old text (there exactly once), new text.
        seed: of the runs; one that shows early what shows rarely.
    """

    name: str
    patches: tuple[tuple[str, str, str], ...]
    seed: str = "mutant"


THREAD_MUTANTS = (
    ThreadMutant(
        "a job of a closed queue is ended by whatever has its name",
        (
            ("queue", "with self._generation.worker.intents.end_alone(claim.path):", "if True:"),
            ("queue", "earlier=None if earlier is None else earlier.membership", "earlier=None"),
        ),
        seed="m3",
    ),
    ThreadMutant(
        "a call goes on with the worker after the one that was closed",
        (("queue", "        worker = generation.worker\n        ask = partial(",
          "        worker = self._worker\n        ask = partial("),),
    ),
    ThreadMutant(
        "a fork keeps the locks of threads that it does not have",
        (("queue", "        queue._lock = threads.RLock()\n\n\nif", "        pass\n\n\nif"),),
    ),
    ThreadMutant(
        "a forked child ends its parent's job",
        (("queue", "return self._generation.is_here\n", "return True\n"),),
    ),
    ThreadMutant(
        "who waits in a pause waits beyond the close",
        (("heartbeat_thread", "            self._worker.control.drain()\n", ""),),
    ),
    ThreadMutant(
        "the garbage collector joins the heartbeat's thread",
        (
            ("queue", "weakref.finalize(self, thread.tell_to_end)",
             "weakref.finalize(self, thread.stop)"),
            ("heartbeat_thread", " and not threads.is_current(self._thread)", ""),
        ),
        seed="m3",
    ),
    ThreadMutant(
        "a name that is not yet the worker's is taken for one that is over",
        (
            ("recovery.incarnations", "        with self._lock:\n            # At once",
             "        if True:\n            # At once"),
            ("protocol.intents", "if self._worker_ended or worker in self._over:",
             "if self._worker_ended:"),
        ),
        seed="m12",
    ),
    ThreadMutant(
        "the heartbeat of a name that is over is written again",
        (("recovery.incarnations", "        if one.over and not ended:", "        if False:"),),
    ),
)  # fmt: skip
