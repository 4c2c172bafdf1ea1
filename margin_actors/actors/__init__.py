"""Ray: scenario shards, revaluation tasks, reducers and the coordinator; no formula lives here.

- `plan` decides, without Ray: who owns which scenarios, who may run, what a request may still do.
- `work` holds the revaluation tasks, `shard` and `reducer` the actors that price and join.
- `coordinator` names the current generation and replaces what is lost.
- `cluster` is what a process outside uses: connect, watch generations, run a book.
"""

from margin_actors.actors.interrupts import ignore_interrupts_in_workers

# Before anything else of this package is imported, and with it numba.
ignore_interrupts_in_workers()
