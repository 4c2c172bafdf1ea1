"""Opening a ledger: creates or upgrades its tables under a lock, and detects lost entries."""

from contextlib import nullcontext
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text

from margin_cluster.ledger.address import Address
from margin_cluster.ledger.chain import FIRST_HASH, entry_from_row
from margin_cluster.ledger.failures import damaged, set_up_wrongly
from margin_cluster.ledger.head_file import HeadFile
from margin_cluster.ledger.schema import entries, ledger_head, metadata

REVISIONS = ("0001", "0002", "0003")
"""Known versions of the tables, the newest last; each has a module in `migrations/versions`."""
VERSION_TABLE = "ledger_version"
_FIRST_TABLES = ("about", "heads")
_LOCK = 0x6D617267696E
"""Key of the PostgreSQL advisory lock that is held while tables are created or upgraded."""
_ACCEPT = "restore a backup, or accept the loss with `margin ledger verify --accept-loss`"


def bring_up_to_date(
    engine: Engine, readers: Engine, address: Address, head_file: HeadFile | None
) -> None:
    """Create the tables of a new ledger, or upgrade those of an older one.

    Several processes may call this at the same time.

    Raises
    ------
    InvalidParameters
        If the ledger's version is unknown to this software, the database belongs to another
        program, or the file's folder does not exist.
    LedgerDamaged
        If the ledger's file is missing or empty although its side file notes committed entries.
    """
    if address.path is not None:
        assert head_file is not None
        if not address.path.parent.is_dir():
            what = f"the folder {address.path.parent} does not exist"
            raise set_up_wrongly(address.shown, what, "create it, or correct --state or --ledger")
        _require_not_lost(address.path, head_file)
    with head_file.locked() if head_file is not None else nullcontext():
        with readers.connect() as connection:
            if _version(connection, address) == REVISIONS[-1]:
                return
        with engine.begin() as connection:
            if not address.is_sqlite:
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            version = _version(connection, address)
            if version != REVISIONS[-1]:
                _upgrade(connection, version)


def require_file(address: Address) -> None:
    """Check that the file of a SQLite ledger exists, because connecting would create it.

    Raises
    ------
    InvalidParameters
        If the file does not exist.
    """
    if address.path is not None and not address.path.exists():
        raise set_up_wrongly(address.shown, "there is no ledger", "check --state and --ledger")


def require_up_to_date(connection: Connection, address: Address) -> None:
    """Check that the ledger exists and has the newest version.

    Raises
    ------
    InvalidParameters
        If there is no ledger, or it has another version.
    """
    version = _version(connection, address)
    if version is None:
        raise set_up_wrongly(address.shown, "there is no ledger", "check --state and --ledger")
    if version != REVISIONS[-1]:
        what = f"the ledger is of version {version}, this software uses {REVISIONS[-1]}"
        raise set_up_wrongly(address.shown, what, "back it up, then start the service to upgrade")


def require_no_loss(
    connection: Connection, noted: tuple[int, str] | None, address: Address
) -> None:
    """Check that the head, the last entry and the side file's note agree.

    Parameters
    ----------
    connection : Connection
    noted : (int, str), optional
        Sequence number and hash of the last commit that the side file notes.
    address : Address

    Raises
    ------
    LedgerDamaged
        If they do not agree; names how many committed entries are missing, and how to proceed.
    """
    where = address.shown
    head = connection.execute(select(ledger_head)).first()
    if head is None:
        raise damaged(where, "the head has no row")
    sequence = noted[0] if noted is not None else head.sequence
    query = select(entries).where(entries.c.sequence.in_((head.sequence, sequence)))
    found = {e.sequence: e for e in map(entry_from_row, connection.execute(query).mappings())}
    if noted is not None and sequence > head.sequence:
        missing = sequence - head.sequence
        what = f"{missing:,} committed entries are missing, {head.sequence + 1} to {sequence}"
        raise damaged(where, what, _ACCEPT)
    if noted is not None and sequence > 0:
        entry = found.get(sequence)
        if entry is None or entry.hash != noted[1]:
            what = f"entry {sequence} is not the one that was committed"
            raise damaged(where, what, _ACCEPT)
    last = found.get(head.sequence)
    expected = FIRST_HASH if last is None else last.expected_hash
    if head.hash != expected or (last is None and head.sequence > 0):
        raise damaged(where, f"the last entry, {head.sequence}, does not match the head")


def _require_not_lost(path: Path, head_file: HeadFile) -> None:
    noted = head_file.read()
    if noted is not None and noted[0] > 0 and not (path.exists() and path.stat().st_size > 0):
        what = f"the file is missing or empty, and {noted[0]:,} entries had been committed"
        raise damaged(str(path), what, f"{_ACCEPT}; to begin a new ledger, delete {head_file.path}")


def _version(connection: Connection, address: Address) -> str | None:
    """Return the version of the tables, or None if there are none."""
    tables = set(inspect(connection).get_table_names())
    found: str | None = None
    if VERSION_TABLE in tables:
        query = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
        found = connection.execute(query).scalar()
    elif tables.issuperset(_FIRST_TABLES):
        kept = connection.execute(text("SELECT value FROM about WHERE name = 'schema'")).scalar()
        found = "0001" if kept == "1" else f"schema {kept}"
    else:
        others = tables if address.is_sqlite else tables & {*metadata.tables, *_FIRST_TABLES}
        if others:
            what = f"the database holds tables of another program: {', '.join(sorted(others)[:5])}"
            raise set_up_wrongly(address.shown, what, "use a separate database for the ledger")
        return None
    if found not in REVISIONS:
        what = f"it was written by another version of this software ({found})"
        remedy = f"this version supports {', '.join(REVISIONS)}; install the version that wrote it"
        raise set_up_wrongly(address.shown, what, remedy)
    return found


def _upgrade(connection: Connection, version: str | None) -> None:
    # Imported here because a ledger that is up to date, the usual case, does not need it.
    from alembic import command
    from alembic.config import Config

    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config = Config()
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    has_version_table = inspect(connection).has_table(VERSION_TABLE)
    if version is not None and not has_version_table:
        command.stamp(config, version)
    command.upgrade(config, REVISIONS[-1])


__all__ = [
    "REVISIONS",
    "bring_up_to_date",
    "require_file",
    "require_no_loss",
    "require_up_to_date",
]
