"""The journal: double entry as a pure fold of immutable groups of transfers and position entries.

`record` applies a group and appends it to a log whose entries are chained by hashes; `state_at`
gives the state after any entry.
"""
