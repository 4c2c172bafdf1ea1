"""Disclosure to clearing members: what a requirement is recomputed from, and risk arrays."""

from margin_actors.engine.disclosure.disclosure import Disclosure, disclose, group_labels
from margin_actors.engine.disclosure.repairs import REPAIRS, RowRepairs, row_repairs
from margin_actors.engine.disclosure.risk_arrays import (
    N_ARRAYS,
    ArrayErrors,
    ArrayTarget,
    MemberArrays,
    member_arrays,
)

__all__ = [
    "N_ARRAYS",
    "REPAIRS",
    "ArrayErrors",
    "ArrayTarget",
    "Disclosure",
    "MemberArrays",
    "RowRepairs",
    "disclose",
    "group_labels",
    "member_arrays",
    "row_repairs",
]
