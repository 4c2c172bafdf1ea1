"""Distribution of the calculation with Ray; the formulas are in `margin_actors.engine`.

- `plan` contains the decisions as plain functions without Ray: the assignment of scenarios to
  shards, the placement of shards, and the leases of run slots.
- `work` contains the revaluation tasks; `shard` contains the actors that price and reduce.
- `coordinator` keeps the generation in use and replaces what is lost; `fleet` manages its shards
  and reducers, `maker` creates generations, and `generation` defines their data.
- `cluster` is the connection of a client process: follow the generation in use, publish, activate.
- `book_run` runs a book, `jobs` runs other long calculations.
- `faults` classifies exceptions raised by Ray; `interrupts` protects workers from SIGINT.
"""

from margin_actors.actors.interrupts import ignore_interrupts_in_workers

# This must run before other modules of the package, which import Numba, are imported.
ignore_interrupts_in_workers()
