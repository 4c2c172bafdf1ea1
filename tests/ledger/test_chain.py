"""The hashes of stored ledgers: fixed values, computed when the first ledgers were stored."""

from margin_cluster.ledger.chain import entry_hash, following_entry

from margin_actors.hash_chain import FIRST_HASH, content_hash, lines_hash

ROW = {"b": 1, "a": "x", "none": None, "f": 0.1, "t": True, "long": "y" * 201}
CONTENT = "d7470541a78455832c548e68ff390dd19c1056f357db0a0e3ffd8c32730bf4cc"
ENTRY = "b702907bc40bdf82edd1fcc5f7dd6ab67fa5af02a06bd70364da7093a03db072"


def test_hashes_of_stored_ledgers_do_not_change() -> None:
    assert content_hash("change", ROW) == CONTENT
    assert entry_hash(7, "change", "s-1", CONTENT, FIRST_HASH, 1778832000123) == ENTRY
    entry = following_entry(6, FIRST_HASH, "change", "s-1", CONTENT, 1778832000123)
    assert entry.hash == entry.expected_hash == ENTRY


def test_columns_do_not_run_into_each_other() -> None:
    assert lines_hash((1, "ab", "c")) != lines_hash((1, "a", "bc"))
