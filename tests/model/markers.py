"""The protocol of `dirjobs.protocol.markers`, walked through every interleaving of a few workers.

One job on a store that has no rename: linearizable get, create if absent, delete.  Its objects:

    P       the payload in 00_waiting, of one identity: an object that comes later is another job
    M[k]    01_running/<job>~<identity>.<k>: the claim of attempt k; names who made it
    E[k]    01_running/<job>~<identity>.<k>.end: attempt k was given back
    F       _queue/ended/<job>~<identity>: who ended the job; never removed
    T       02_done/<job>~<identity> (or 99_failed): the payload at its end

    claim   create M[k] (k = 1, or after E[k-1]); any answer but yes: read it; then read P
    back    create E[k], by the worker itself or by whoever takes it for dead
    end     unless E[k] is there: create F; any answer but yes: read it.  It decides.
    carry   read P, create T, delete P, then M and E; by anybody who meets F

A request may be executed though its answer is lost, never, later, or twice; a create may be
answered "exists" though it was carried out (a retry on the way) or though nobody has the name (a
conflict).  Workers crash, and may be taken for dead while they live.

Must hold: the payload is there; of the attempts that start the job all but one were robbed; one
worker is told that it ended the job, and it is the one that F names; in the end the job is at its
end, and no claim is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

ATTEMPTS = 4
"""Claims of one job at most, in one run."""
OURS, ANOTHERS, NONE = 1, 2, 0
"""What is under the payload's name: the job, another job of its name, nothing."""
MOVED, GHOST = 2, 3
"""The payload at its end, once somebody let it wait again: gone, or made anew by a late request."""

MUTANTS = {
    "no look at the payload after the claim": "starts a job that has ended",
    "a claim without an answer is a claim": "two start the job",
    "an end without an answer is an end": "two are told that they ended the job",
    "'exists' means that another ended it": "the one who ended it throws its result away",
    "the end replaces what is there": "two ends",
    "the end is tidied away with the claims": "a sleeper ends the job once more",
    "an end for each outcome": "done and failed, both",
    "claims are deleted before the payload": "the job is claimed again",
    "the payload is deleted before it is carried": "a crash loses it",
    "the payload is deleted before the end": "a crash loses it",
    "'exists' is believed when it is carried": "a conflict loses it",
    "takeover deletes the claim": "the dead worker's late claim comes back",
    "takeover replaces the claim": "two take over",
    "claims that were given back are tidied early": "a late claim is taken for a new one",
    "a name used again has the old one's place": "a late delete loses the new job",
    "any payload of the name will do": "a claim of an older job starts a newer one",
    "the first attempt's name for all": "a job that was given back is nobody's for ever",
    "nobody carries for the dead": "an ended job stays where it is",
    "a copy made anew is a job": "a late copy of a retried job, which has ended, is run again",
    "the server ignores conditions": "everybody wins",
}


@dataclass(frozen=True)
class Limits:
    """How much trouble there is in one run.

    Attributes:
        workers: how many.
        tries: claims that each of them may ask for.
        faults: requests that go wrong.
        crashes: workers that stop for good.
        robberies: workers that are taken for dead while they live.
        reuses: times that the job is let wait again, or another gets its name.
        movers: nobody claims: several move a file that is at rest, such as a failed job.
    """

    workers: int = 2
    tries: int = 2
    faults: int = 1
    crashes: int = 1
    robberies: int = 1
    reuses: int = 0
    movers: bool = False


class Worker(NamedTuple):
    """Where one worker is in its program.

    Attributes:
        at: the next step.
        k: the attempt it deals with.
        tries: claims it has asked for.
        ended: it has been told that it ended the job.
    """

    at: str = "look"
    k: int = 0
    tries: int = 0
    ended: bool = False


class Store(NamedTuple):
    """What is on the store; in M and E nothing is 0, otherwise a token (see `token`)."""

    payload: int = OURS
    claims: tuple[int, ...] = (0,) * ATTEMPTS
    ends: tuple[int, ...] = (0,) * ATTEMPTS
    fence: int = 0
    fence_2: int = 0
    carried: int = 0


class Request(NamedTuple):
    """A request that changes something: ``create``, ``put`` (replaces) or ``delete``."""

    verb: str
    what: str
    k: int = 0
    value: int = 1


class State(NamedTuple):
    """All there is at one moment.

    Attributes:
        started: the attempts that began.
        robbed: those that somebody took for dead, or that were given back.
        told: the attempt that was told that it ended the job.
    """

    store: Store
    workers: tuple[Worker, ...]
    late: tuple[Request, ...] = ()
    faults: int = 0
    crashes: int = 0
    robberies: int = 0
    reuses: int = 0
    started: frozenset[int] = frozenset()
    robbed: frozenset[int] = frozenset()
    told: int = 0


class Violation(NamedTuple):
    """What went wrong, and by which steps."""

    what: str
    trace: tuple[str, ...]


def token(worker: int, tries: int) -> int:
    """Who made a claim or an end: the nonce of a worker's attempt."""
    return 10 * (worker + 1) + tries


def carry_out(store: Store, request: Request, *, conditions: bool) -> tuple[Store, str]:
    """What a request makes of the store, and its answer.

    Raises:
        LostError: it removes a job that nobody has carried on.
    """
    verb, what, k, value = request
    if what in ("claims", "ends"):
        there = getattr(store, what)
        if verb == "create" and there[k] and conditions:
            return store, "exists"
        changed = (*there[:k], 0 if verb == "delete" else value, *there[k + 1 :])
        return store._replace(**{what: changed}), "yes"
    old = getattr(store, what)
    if what == "carried":
        if old in (OURS, GHOST) and conditions:
            return store, "exists"
        return store._replace(carried=GHOST if old == MOVED else OURS), "yes"
    if verb == "create" and old and conditions:
        return store, "exists"
    if what == "payload" and old == ANOTHERS:
        raise LostError("a delete has hit another job of that name")
    return store._replace(**{what: 0 if verb == "delete" else value}), "yes"


class LostError(Exception):
    """A job is gone."""


class Model:
    """The protocol, or one without a rule.

    Args:
        limits: how much trouble there is.
        mutant: the rule that is left out, of `MUTANTS`; none by default.
    """

    def __init__(self, limits: Limits, mutant: str = "") -> None:
        if mutant and mutant not in MUTANTS:
            raise ValueError(f"there is no mutant {mutant!r}")
        self.limits, self.mutant = limits, mutant
        self.conditions = not self.lacks("the server ignores conditions")

    def lacks(self, rule: str) -> bool:
        return self.mutant == rule

    def begin(self) -> State:
        limits = self.limits
        return State(
            Store(),
            (Worker(),) * limits.workers,
            (),
            limits.faults,
            limits.crashes,
            limits.robberies,
            limits.reuses,
        )

    # -- all that may happen next -----------------------------------------------------------

    def steps(self, state: State) -> Iterator[tuple[str, State | str]]:
        """What may happen next, and what comes of it: a state, or what is wrong with it."""
        for index, request in enumerate(state.late):
            rest = (*state.late[:index], *state.late[index + 1 :])
            try:
                store, _ = carry_out(state.store, request, conditions=self.conditions)
            except LostError as lost:
                yield f"late {request}", str(lost)
                continue
            yield f"late {request}", state._replace(store=store, late=rest)
        for number, worker in enumerate(state.workers):
            if worker.at in ("over", "dead"):
                continue
            if state.crashes:
                dead = self._with(state, number, worker._replace(at="dead"))
                yield f"{number} crashes", dead._replace(crashes=state.crashes - 1)
            yield from self._act(state, number, worker)
        if state.reuses:
            yield from self._reuse(state)
        yield from self._ghost(state)

    def _reuse(self, state: State) -> Iterator[tuple[str, State | str]]:
        store, fewer = state.store, state.reuses - 1
        if store.carried == OURS:
            # It waits again under a name that no job had: nothing here can touch it.
            again = store._replace(carried=MOVED)
            if self.lacks("a name used again has the old one's place"):
                if store.payload != NONE:
                    return
                again = again._replace(payload=ANOTHERS)
            yield "waits again", state._replace(store=again, reuses=fewer)
        carriers = ("carry", "create at end", "is it there", "delete payload")
        if (
            self.lacks("any payload of the name will do")
            and store.payload == NONE
            and not any(worker.at in carriers for worker in state.workers)
        ):
            again = store._replace(payload=ANOTHERS)
            yield "another job of the name", state._replace(store=again, reuses=fewer)

    def _ghost(self, state: State) -> Iterator[tuple[str, State | str]]:
        """A copy that was made anew, when the first one had gone on, waits in the place of that:
        the end of the first one tells whoever would claim it."""
        if state.store.carried == GHOST and self.lacks("a copy made anew is a job"):
            yield "a copy is claimed", "a job that had ended was started again"

    def _act(self, state: State, number: int, worker: Worker) -> Iterator[tuple[str, State | str]]:
        """One step of one worker."""
        request = self._request(number, worker, state.store)
        if request is None:
            for after in self._look(state, number, worker):
                yield f"{number} {worker.at}", after
            return
        for how, store, late, answer in self._outcomes(state, request):
            label = f"{number} {worker.at} {request.verb} {request.what}: {how}"
            if store is None:
                yield label, answer
                continue
            left = state.faults - (how not in ("yes", "exists"))
            after = state._replace(store=store, late=tuple(sorted(late)), faults=left)
            yield label, self._answered(after, number, worker, answer)

    def _outcomes(
        self, state: State, request: Request
    ) -> Iterator[tuple[str, Store | None, tuple[Request, ...], str]]:
        """Everything that may become of a request: how, the store, what is under way, the answer;
        no store and what is wrong if a job is lost."""
        store, late = state.store, state.late
        try:
            done, answer = carry_out(store, request, conditions=self.conditions)
            twice, second = carry_out(done, request, conditions=self.conditions)
        except LostError as lost:
            yield "lost", None, late, str(lost)
            return
        yield answer, done, late, answer
        if not state.faults:
            return
        yield "executed, no answer", done, late, "none"
        yield "not executed, no answer", store, late, "none"
        yield "executed later, no answer", store, (*late, request), "none"
        yield "executed twice", done, (*late, request), answer
        if request.verb == "create":
            yield "sent twice on the way", twice, late, second
            if answer == "yes":
                yield "conflict", store, late, "exists"

    def _with(self, state: State, number: int, worker: Worker) -> State:
        workers = state.workers
        return state._replace(workers=(*workers[:number], worker, *workers[number + 1 :]))

    # -- the program of a worker ------------------------------------------------------------

    def _fence(self, number: int) -> str:
        """Which end a worker makes: where each outcome has its own, some fail and some don't."""
        return "fence_2" if self.lacks("an end for each outcome") and number % 2 else "fence"

    def _request(self, number: int, worker: Worker, store: Store) -> Request | None:
        """What a worker sends next; None if it only looks."""
        k, mine = worker.k, token(number, worker.tries)
        if worker.at == "claim":
            return Request("create", "claims", k, mine)
        if worker.at in ("give back", "rob"):
            if worker.at == "rob" and self.lacks("takeover deletes the claim"):
                return Request("delete", "claims", k)
            if worker.at == "rob" and self.lacks("takeover replaces the claim"):
                return Request("put", "claims", k, mine)
            return Request("create", "ends", k, mine)
        if worker.at == "unclaim":
            return Request("delete", "claims", k)
        if worker.at == "end":
            verb = "put" if self.lacks("the end replaces what is there") else "create"
            return Request(verb, self._fence(number), 0, mine)
        if worker.at == "create at end":
            return Request("create", "carried")
        if worker.at in ("delete payload", "delete payload first"):
            return Request("delete", "payload")
        if worker.at in ("tidy", "tidy early"):
            for what in ("claims", "ends"):
                for k, there in enumerate(getattr(store, what)):
                    if there:
                        return Request("delete", what, k)
            if self.lacks("the end is tidied away with the claims") and store.fence:
                return Request("delete", "fence")
        return None

    def _answered(self, state: State, number: int, worker: Worker, answer: str) -> State | str:
        """What a worker does after an answer."""
        at, mine = worker.at, token(number, worker.tries)

        def go(step: str, **changes: int) -> State:
            return self._with(state, number, worker._replace(at=step)._replace(**changes))

        if at == "claim":
            sure = answer == "yes" or (
                answer == "none" and self.lacks("a claim without an answer is a claim")
            )
            return go("is it waiting") if sure else go("is it my claim")
        if at == "rob" and self.lacks("takeover replaces the claim"):
            return go("is it waiting") if answer == "yes" else go("look")
        if at in ("give back", "rob", "unclaim"):
            return go("look")
        if at == "end":
            sure = answer == "yes" or (
                answer == "none" and self.lacks("an end without an answer is an end")
            )
            if sure:
                return self._told(state, number, worker)
            if answer == "exists" and self.lacks("'exists' means that another ended it"):
                wrong = getattr(state.store, self._fence(number)) == mine
                return "the one who ended the job is told that it lost it" if wrong else go("look")
            return go("is it my end")
        if at == "create at end":
            if answer == "exists" and self.lacks("'exists' is believed when it is carried"):
                return go("delete payload")
            return go("delete payload") if answer == "yes" else go("is it there")
        if at == "delete payload first":
            return go("end") if answer == "yes" else go("is payload gone first")
        if at == "delete payload":
            if self.lacks("the payload is deleted before it is carried"):
                return go("create late") if answer == "yes" else go("is payload gone")
            return go("tidy") if answer == "yes" else go("is payload gone")
        return go(at)

    def _told(self, state: State, number: int, worker: Worker) -> State | str:
        """A worker knows that it has ended the job."""
        if state.told:
            return "two workers were told that they ended the job"
        after = self._with(state, number, worker._replace(at="carry", ended=True))
        return after._replace(told=token(number, worker.tries))

    def _look(self, state: State, number: int, worker: Worker) -> Iterator[State | str]:
        """A step that only reads."""
        store, k, mine = state.store, worker.k, token(number, worker.tries)

        def go(step: str, **changes: int) -> State:
            return self._with(state, number, worker._replace(at=step)._replace(**changes))

        at = worker.at
        if at == "look":
            yield from self._choose(state, number, worker)
        elif at == "is it my claim":
            yield go("is it waiting") if store.claims[k] == mine else go("look")
        elif at == "is it waiting":
            there = store.payload == OURS
            if self.lacks("no look at the payload after the claim"):
                there = True
            if self.lacks("any payload of the name will do"):
                there = store.payload != NONE
            yield self._start(state, number, worker) if there else go("unclaim")
        elif at == "run":
            if store.ends[k] or getattr(store, self._fence(number)):
                yield go("look")
            elif self.lacks("the payload is deleted before the end"):
                yield go("delete payload first")
            else:
                yield go("end")
        elif at == "is it my end":
            found = getattr(store, self._fence(number))
            if found == mine:
                yield self._told(state, number, worker)
            else:
                yield go("look") if found else go("end")
        elif at == "carry":
            if store.payload != OURS:
                yield go("tidy")
            elif self.lacks("claims are deleted before the payload") and any(store.claims):
                yield go("tidy early")
            elif self.lacks("the payload is deleted before it is carried"):
                yield go("delete payload")
            else:
                yield go("create at end")
        elif at == "create late":
            yield self._with(
                state._replace(store=store._replace(carried=OURS)),
                number,
                worker._replace(at="tidy"),
            )
        elif at == "is it there":
            yield go("delete payload") if store.carried in (OURS, GHOST) else go("carry")
        elif at == "is payload gone first":
            yield go("delete payload first") if store.payload == OURS else go("end")
        elif at == "is payload gone":
            yield go("delete payload") if store.payload == OURS else go("tidy")
        elif at == "tidy early":
            yield go("carry") if worker.ended or store.fence else go("look")
        elif at == "tidy":
            yield go("look")
        else:
            raise AssertionError(at)

    def _start(self, state: State, number: int, worker: Worker) -> State | str:
        if state.store.payload == ANOTHERS:
            return "another job was started by the claim of an older one"
        started = state.started | {token(number, worker.tries)}
        if len(started - state.robbed) > 1:
            return "the job was started twice"
        after = self._with(state, number, worker._replace(at="run"))
        return after._replace(started=started)

    def _choose(self, state: State, number: int, worker: Worker) -> Iterator[State | str]:
        """A worker looks what there is to do."""
        store = state.store

        def go(step: str, **changes: int) -> State:
            return self._with(state, number, worker._replace(at=step)._replace(**changes))

        if store.payload != OURS:
            yield go("tidy") if any(store.claims) or any(store.ends) else go("over")
            return
        if store.fence and not self.lacks("the end is tidied away with the claims"):
            yield go("over") if self.lacks("nobody carries for the dead") else go("carry")
            return
        fresh = worker.tries < self.limits.tries
        if self.limits.movers:
            yield go("end", tries=worker.tries + 1) if fresh else go("over")
            return
        k = max((k for k in range(ATTEMPTS) if store.claims[k] or store.ends[k]), default=-1)
        given_back = k >= 0 and bool(store.ends[k])
        if self.lacks("claims that were given back are tidied early") and given_back:
            yield go("tidy early")
            return
        if k < 0 or given_back:
            k = 0 if self.lacks("the first attempt's name for all") else k + 1
            if fresh and k < ATTEMPTS:
                yield go("claim", k=k, tries=worker.tries + 1)
            else:
                yield go("over")
            return
        owner, _ = divmod(store.claims[k] - 10, 10)
        if owner == number:
            yield go("give back", k=k)  # asked for once, given up, and there after all
            return
        robbed = go("rob", k=k, tries=worker.tries + self.lacks("takeover replaces the claim"))
        robbed = robbed._replace(robbed=state.robbed | {store.claims[k]})
        if state.workers[owner].at in ("dead", "over"):
            yield robbed
            return
        if state.robberies:
            yield robbed._replace(robberies=state.robberies - 1)
        yield go("over")

    # -- what must hold ---------------------------------------------------------------------

    def wrong(self, state: State) -> str:
        """What is wrong with a state; empty if nothing is."""
        store = state.store
        if store.payload == NONE and not store.carried:
            return "the job is lost"
        if store.payload == OURS and store.carried and not (store.fence or store.fence_2):
            lost = self.lacks("the end is tidied away with the claims")
            return "" if lost else "the job is at its end, and nobody ended it"
        return ""

    def wrong_in_the_end(self, state: State) -> str:
        """What is wrong once nothing happens any more and somebody comes to clean up."""
        store, told = state.store, state.told
        fence = {store.fence, store.fence_2}
        if told and told not in fence and self.mutant != "the end is tidied away with the claims":
            return "a worker was told that it ended the job, and another did"
        for _ in range(20):
            if store.payload != OURS:
                break
            if store.fence or store.fence_2:
                if self.lacks("nobody carries for the dead"):
                    return "an ended job stays where it was"
                store = store._replace(payload=NONE, carried=store.carried or OURS)
                break
            k = max((k for k in range(ATTEMPTS) if store.claims[k] or store.ends[k]), default=-1)
            if k >= 0 and not store.ends[k]:
                store, _ = carry_out(store, Request("create", "ends", k), conditions=True)
                continue
            k = 0 if self.lacks("the first attempt's name for all") else k + 1
            if k >= ATTEMPTS:
                return ""
            store, answer = carry_out(store, Request("create", "claims", k), conditions=True)
            if answer != "yes":
                return "nobody can claim the job any more"
            store = store._replace(fence=99, carried=OURS)
        return "" if store.carried else "the job is lost"


def explore(
    model: Model, *, most: int = 0, progress: Callable[[int], None] | None = None
) -> tuple[int, Violation | None]:
    """Walk through every state, nearest first.

    Args:
        model: what is walked through.
        most: states at most; 0 for all.
        progress: is told how many there were, now and then.

    Returns:
        how many states there are, and the first violation: by the fewest steps.
    """
    first = model.begin()
    came: dict[State, tuple[State, str] | None] = {first: None}
    layer = [first]
    while layer:
        following = []
        for state in layer:
            moved = False
            for label, after in model.steps(state):
                moved = True
                wrong = after if isinstance(after, str) else ""
                if not isinstance(after, str):
                    if after in came:
                        continue
                    wrong = model.wrong(after)
                if wrong:
                    return len(came), Violation(wrong, (*_trace(came, state), label))
                assert not isinstance(after, str)
                came[after] = (state, label)
                following.append(after)
            if not moved and (wrong := model.wrong_in_the_end(state)):
                return len(came), Violation(wrong, _trace(came, state))
            if most and len(came) > most:
                return len(came), None
        layer = following
        if progress is not None:
            progress(len(came))
    return len(came), None


def _trace(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    steps: list[str] = []
    while (before := came[state]) is not None:
        state, label = before
        steps.append(label)
    return tuple(reversed(steps))
