"""Who may run a job: claiming it, ending it, giving it back.

**Names.**  A job is a file.  Where it is, and under which name, says all:

    00_waiting/job1.txt                   nobody has it
    00_waiting/~w1~k3x9q2.job1.txt        staged: w1 takes it out of the race, or puts it back
    01_running/w1.job1.txt                a claim: w1 has it
    01_running/~w2~k3x9q2.w1.job1.txt     staged: w2 puts w1's claim back
    02_done/job1.txt, 99_failed/job1.txt  it is over

A claim's name is used once.  A worker that gave a job back, or may have been declared dead,
goes on as its next incarnation (w1~7f3k), so that no late request hits a later attempt.

**Modes.**  `policy.warranted` says which one a store's promises allow.

    trust   rename; a clear yes is a claim
    verify  rename inside 00_waiting, rename across, look
    sync    rename, wait S, look, wait S, look; S > D, the longest that a change stays unseen

On object storage, which has no rename, `markers` gives it one: each rename is one create.

**Rules**, and what each refutes.  Every one answers a trace in which a job was lost or ran
twice; `tests/simulation` has a mutant for most.

- Look at the own claim in a listing begun after the answer.  Refutes: "yes" from a server
  that copies, and "no" for a rename that was carried out.
- A smaller worker's claim makes me put mine back; a larger one's makes me wait until it is
  withdrawn.  Refutes: "the first in order wins after S", which runs short jobs twice.
- Put a claim back, never delete it.  Refutes: "losers delete their copies", which loses a
  job with three workers and one crash.
- Withdraw only after S.  Refutes: withdrawing at once, which loses a job that two saw late.
- Look whether the job is finished, and park the claim if it is.  Refutes: "nobody else has
  it, so it is mine" for a copy that came to be after the job's end.
- A claim of a wrong size still grows, is torn, or is not the file that was listed: look again,
  then see whether renames copy at all.  Refutes: "a listing is what I rename", which parks
  whatever was saved anew, or has a name just used.
- What got no answer is in doubt: look at the destination, never send it again blindly.  It
  may be executed after the look, so the sweep looks again with each heartbeat.
- "No source" is believed only from whoever renames (`Guarantees.final_refusals`).  Refutes:
  a proxy that sends a rename twice and hands on the second answer, 404.
- Only names that this worker asked for itself are swept.  Refutes: a sweep by worker id,
  which robs a twin.
- `done` is one rename from the claim's name: whoever lost the claim finds no source, and gets
  `ClaimLost`.  An existing name is never replaced: the newcomer becomes job1~2.txt.
- All workers go by the strictest mode that anybody uses.  Refutes: a mode for each worker.
- Trust that rests on a check's record is on probation: two claims of one job, a torn one, or
  one that is gone make a worker try whether renames copy; if so, everybody turns to verify.
- Nothing deletes a job file (`Share.remove` refuses) but from the trash, and nothing renames
  onto one.

**Files.**  `share`, `me`, `intents`: the connection, the worker, the names it asked for; given
to all others.  `look`, `store_clock`, `resolve`: what is there, what time it is there, what
became of a rename.  `claim`, `exits`, `sweep`: into 01_running, out of it, and what came late.
`audit`, `agreement`: evidence, and the mode of the queue.  `identity`, `copying`, `growth`:
which job a file is.  `candidates`: which job to try next.  `attempts`: notes for people.
`outage`: is it the queue that says so?  `folders`, `records`: folders made, JSON read.
`parts` puts them together.
"""
