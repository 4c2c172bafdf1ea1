"""Distribution of the calculation with Ray; the formulas are in `margin_actors.engine`.

The decisions, without Ray, clocks, threads or input and output:

- `state` is the life of a cluster as a state machine: `events` go in, `instructions` come out. It
  consists of `builds` of generations, `changes` of the `inputs` in use, `membership` of nodes and
  shards, `refresh` of both, gateways `waiting` for a generation, and run `slots`.
- `plan` partitions scenarios and accounts and places shards; `layout` is the configuration.

The actors and their clients, which carry the decisions out:

- `coordinator` is the actor around the state machine; `operations` are its input and output,
  `loader` puts inputs into the object store, and `fleet` holds the shards and reducers.
- `work` contains the revaluation tasks; `shard` contains the actors that price and reduce.
- `generation` defines the data of a generation, `handles` the types of references to actors.
- `cluster` is the connection of a client process: follow the generation in use, publish, activate.
- `book_run` runs a book, `jobs` runs other long calculations.
- `faults` classifies exceptions raised by Ray, `retries` repeats work after a loss; `interrupts`
  protects workers from SIGINT.
"""

from margin_actors.actors.interrupts import ignore_interrupts_in_workers

# This must run before other modules of the package, which import Numba, are imported.
ignore_interrupts_in_workers()
