"""Who is alive, and what the dead have left.

**The law of the lease.**  A worker writes its heartbeat every H seconds.  An observer declares
it dead when it has seen the file unchanged (or missing) for more than T seconds.  Nobody
alive is declared dead if

    T >= (k + 1) H + (k + 2) W + P + R

    k   heartbeats in a row that may be lost; `Policy.shortest_lease` has k = 1
    H   seconds between two heartbeats (30)
    W   the longest that one request takes (30)
    P   the longest that a worker's machine stands still and goes on (60)
    R   the longest that a listing is late; S, which is longer, stands for it in mode sync

for between two heartbeats that arrive lie k + 1 intervals, each lost write, the one that
arrives and the observer's listing take W at most, the worker may stop once, and the observer
may see it late.  By default that is 210 s, and T is 300 s.  A user's lease that is shorter is
refused.  A verdict goes by the longer one of the observer's lease and the worker's own.

However much there is to do in the heartbeat's thread, a heartbeat goes before any other request
once half an interval is over: with W <= H two of them are begun no further apart than the law
allows.  Reading the others', giving back, burying and sweeping get half an interval each, for
the modes and orders of others must be seen as often; the rest is left to the next heartbeat.

**Clocks.**  No clock is compared with another.  Time is the observer's monotonic clock, and it
counts between listings that succeeded, at most 2 H apart.  A longer gap starts every clock
anew: an outage of the share is nobody's death.

**Verdicts.**  At half time the observer reads the counter, and again when the lease is over: a
verdict is about one counter, not about a time stamp, and is checked once more right before a
file is moved.  Without waiting, a death is proved by an observer of the same machine, boot and
process namespace, if the process is gone and the programs that it ran are, too.  A command has
no memory: it writes a file first, lists, compares the store's times, and uses 2 T.

**The other side.**  A worker whose own heartbeat had a gap longer than T - S takes itself for
dead: it claims under the name of its next incarnation, and its old claims end only by renames
that find their source.  So a false verdict costs a second start and, where renames are
exclusive, never a second `done`.  If its heartbeat was removed meanwhile, its name was free: it
gives up what it had under a name that somebody else goes by now.

**Orphans.**  What the dead left is put back under the observer's own name.  A job at which
`max_attempts` workers died goes to 99_failed.  A clean end writes `ended`: its claims are free
at once, but its plain id is not used again while it may have left anything.  Claims of names
that never had a heartbeat are left alone, for people; so are those of a worker whose heartbeat
can't be read, which counts as alive.

**Files.**  `heartbeat`: the record.  `incarnations`: the names of one worker, each with its
heartbeat.  `peers`: a snapshot of the others.  `staleness`, `failure_detector`: seen unchanged
for so long; dead.  `orphans`: what they left.  `control`: pause and drain.  `membership`: join,
beat, leave.  `punctual`: the heartbeat goes first.  `silence`: who holds the last jobs, and may
be dead.  `process`: proofs.  `throughput`: how fast jobs end, for people.
"""
