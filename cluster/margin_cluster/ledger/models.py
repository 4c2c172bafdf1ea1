"""Versions of models in the ledger: their parameters, who registered and who approved them.

The parameters of a version are recorded when a service first uses it, so that its calculations can
be recomputed from the ledger. A registration and an approval are signatures of two different
people. Each is given once and never withdrawn, and the order of the log proves which calculations
came after the approval. A version that is no longer wanted is replaced by another version.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, RowMapping, select

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.ledger.columns import Columns
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.rows import from_ms, to_ms
from margin_cluster.ledger.schema import model_signatures, model_versions
from margin_cluster.ledger.writer import Writer

SignatureRole: TypeAlias = Literal["registered", "approved"]
PERSON_MAX = 128
"""Most characters in the name of a person."""


@dataclass(frozen=True)
class ModelSignature:
    """The registration or the approval of a version of a model."""

    person: str
    create_time: datetime
    sequence: int
    """Number of the entry of the log."""


@dataclass(frozen=True)
class ModelVersionRecord:
    """A version of a model that a service has used, or that was registered."""

    model_id: str
    """Content id of the parameters."""
    name: str
    version: str
    parameters: str
    """JSON text of the parameters."""
    create_time: datetime
    registered: ModelSignature | None = None
    """None if nobody has registered it."""
    approved: ModelSignature | None = None
    """None if it is not approved."""

    @property
    def registered_by(self) -> str:
        """Who registered the version; empty if nobody has."""
        return self.registered.person if self.registered else ""

    @property
    def approved_by(self) -> str:
        """Who approved the version; empty if it is not approved."""
        return self.approved.person if self.approved else ""


class ModelVersions:
    """The versions of models in one ledger. Methods block and raise the errors of `Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, model_id: str, *, name: str, version: str, parameters: str, now: datetime
    ) -> None:
        """Record the parameters of a version; does nothing if they are recorded already.

        Raises
        ------
        InvalidParameters
            If the version is recorded with other parameters.
        """
        if self.find(model_id) is not None:
            return  # the usual case needs no write lock
        row: Columns = {
            "model_id": model_id,
            "name": name,
            "version": version,
            "parameters": parameters,
            "create_ms": to_ms(now),
        }
        with self._database.writing() as writer:
            query = "SELECT model_id FROM model_versions WHERE name = ? AND version = ?"
            for (known,) in writer.all(query, [name, version]):
                if known == model_id:
                    return
                what = f"it is recorded with other parameters ({known})"
                raise _refused(name, version, what, "give the changed model a new version")
            writer.append("model_version", [row])

    def sign(self, model_id: str, role: SignatureRole, person: str, *, now: datetime) -> None:
        """Record who registered or approved a version; repeating a signature changes nothing.

        Raises
        ------
        InvalidParameters
            If the version is not recorded or was signed in this role by another person; for an
            approval also if it is not registered, or `person` registered it.
        """
        person = _checked(person)
        row: Columns = {
            "model_id": model_id,
            "role": role,
            "person": person,
            "create_ms": to_ms(now),
        }
        with self._database.writing() as writer:
            found = writer.first(
                "SELECT name, version FROM model_versions WHERE model_id = ?", [model_id]
            )
            if found is None:
                what, remedy = "this version is not recorded", "`margin model register` records it"
                raise _refused(model_id, "", what, remedy)
            if _may_sign(writer, model_id, (found[0], found[1]), role, person):
                writer.append("model_signature", [row])

    def find(self, model_id: str) -> ModelVersionRecord | None:
        """Return the version with an id, or None if it is not recorded."""
        found = self._records(model_id)
        return found[0] if found else None

    def named(self, name: str, version: str) -> ModelVersionRecord | None:
        """Return a version of a model, or None if it is not recorded."""
        return next((r for r in self.all() if (r.name, r.version) == (name, version)), None)

    def all(self) -> list[ModelVersionRecord]:
        """Return all versions in the order in which they were recorded."""
        return self._records(None)

    def _records(self, model_id: str | None) -> list[ModelVersionRecord]:
        query = select(model_versions).order_by(model_versions.c.sequence)
        if model_id is not None:
            query = query.where(model_versions.c.model_id == model_id)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            signatures = _signatures(connection, model_id) if rows else {}
        return [_record(row, signatures) for row in rows]


def _may_sign(
    writer: Writer, model_id: str, version: tuple[str, str], role: SignatureRole, person: str
) -> bool:
    """Return False if the signature is recorded already; raise if it is not permitted."""
    query = "SELECT role, person FROM model_signatures WHERE model_id = ?"
    held = {str(r): str(p) for r, p in writer.all(query, [model_id])}
    if role in held:
        if held[role] == person:
            return False
        what = f"it was {role} by {held[role]}"
        raise _refused(*version, what, "give the model a new version")
    if role == "approved":
        if "registered" not in held:
            remedy = "another person than the approver runs `margin model register MODEL --by NAME`"
            raise _refused(*version, "it is not registered", remedy)
        if held["registered"].casefold() == person.casefold():
            what = f"{held['registered']} registered it"
            raise _refused(*version, what, "a second person has to approve it")
    return True


def _checked(person: str) -> str:
    name = " ".join(person.split())
    if not name or not name.isprintable() or len(name) > PERSON_MAX:
        remedy = f"give 1 to {PERSON_MAX} printable characters"
        raise InvalidParameters(
            "a name is not valid", [Problem("--by", repr(person[:PERSON_MAX]), remedy)]
        )
    return name


def _refused(name: str, version: str, what: str, remedy: str) -> InvalidParameters:
    where = f"{name}@{version}" if version else name
    return InvalidParameters("the version of the model is refused", [Problem(where, what, remedy)])


def _signatures(
    connection: Connection, model_id: str | None
) -> dict[tuple[str, str], ModelSignature]:
    query = select(model_signatures)
    if model_id is not None:
        query = query.where(model_signatures.c.model_id == model_id)
    return {
        (r["model_id"], r["role"]): ModelSignature(
            r["person"], from_ms(r["create_ms"]), r["sequence"]
        )
        for r in connection.execute(query).mappings()
    }


def _record(
    row: RowMapping, signatures: dict[tuple[str, str], ModelSignature]
) -> ModelVersionRecord:
    model_id = row["model_id"]
    return ModelVersionRecord(
        model_id=model_id,
        name=row["name"],
        version=row["version"],
        parameters=row["parameters"],
        create_time=from_ms(row["create_ms"]),
        registered=signatures.get((model_id, "registered")),
        approved=signatures.get((model_id, "approved")),
    )


__all__ = ["ModelSignature", "ModelVersionRecord", "ModelVersions", "SignatureRole"]
