"""The clearing day as pure functions: amounts, settlement, journal, calls; no clock, no storage.

Every decision takes the state and the time and returns what changes. `margin_cluster` reads the
state from the ledger, calls these functions, and commits what they return.
"""
