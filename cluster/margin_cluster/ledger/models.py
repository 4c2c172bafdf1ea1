"""Versions of models in the ledger: their parameters, who registered and who approved them.

The parameters of a version are recorded when a service first uses it, so that its calculations can
be recomputed from the ledger. A registration and an approval are signatures of two different
people. Each is given once and never withdrawn, and the order of the log proves which calculations
came after the approval. A version that is no longer wanted is replaced by another version.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import select

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
    """Content id of the parameters; versions with equal parameters have equal ids."""
    name: str
    version: str
    create_time: datetime
    registered: ModelSignature | None = None
    """None if it is not registered."""
    approved: ModelSignature | None = None
    """None if it is not approved."""

    @property
    def registered_by(self) -> str:
        """Who registered the version; empty if it is not registered."""
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
        known = self.named(name, version)
        if known is not None and known.model_id == model_id:
            return  # the usual case needs no write lock
        row: Columns = {
            "model_id": model_id,
            "name": name,
            "version": version,
            "parameters": parameters,
            "create_ms": to_ms(now),
        }
        with self._database.writing() as writer:
            found = _id_of(writer, name, version)
            if found is None:
                writer.append("model_version", [row])
            elif found != model_id:
                what = f"it is recorded with other parameters ({found})"
                raise _refused(name, version, what, "give the changed model a new version")

    def sign(
        self, name: str, version: str, role: SignatureRole, person: str, *, now: datetime
    ) -> None:
        """Record who registered or approved a version; repeating a signature changes nothing.

        Raises
        ------
        InvalidParameters
            If the version is not recorded or was signed in this role by another person; for an
            approval also if it is not registered, or `person` registered it.
        """
        person = _checked(person)
        with self._database.writing() as writer:
            model_id = _id_of(writer, name, version)
            if model_id is None:
                remedy = "`margin model register MODEL --by NAME` records it"
                raise _refused(name, version, "this version is not in the ledger", remedy)
            row: Columns = {
                "model_id": model_id,
                "name": name,
                "version": version,
                "role": role,
                "person": person,
                "create_ms": to_ms(now),
            }
            if _may_sign(writer, name, version, role, person):
                writer.append("model_signature", [row])

    def parameters(self, model_id: str) -> str | None:
        """Return the JSON text of the parameters with an id, or None if they are not recorded."""
        query = select(model_versions.c.parameters).where(model_versions.c.model_id == model_id)
        with self._database.reading() as connection:
            return connection.execute(query.limit(1)).scalar()

    def named(self, name: str, version: str) -> ModelVersionRecord | None:
        """Return a version of a model, or None if it is not recorded."""
        return next((r for r in self.all() if (r.name, r.version) == (name, version)), None)

    def all(self) -> list[ModelVersionRecord]:
        """Return all versions in the order in which they were recorded."""
        with self._database.reading() as connection:
            query = select(model_versions).order_by(model_versions.c.sequence)
            rows = connection.execute(query).mappings().all()
            signatures = {
                (r["name"], r["version"], r["role"]): ModelSignature(
                    r["person"], from_ms(r["create_ms"]), r["sequence"]
                )
                for r in connection.execute(select(model_signatures)).mappings()
            }
        return [
            ModelVersionRecord(
                model_id=row["model_id"],
                name=row["name"],
                version=row["version"],
                create_time=from_ms(row["create_ms"]),
                registered=signatures.get((row["name"], row["version"], "registered")),
                approved=signatures.get((row["name"], row["version"], "approved")),
            )
            for row in rows
        ]


def _id_of(writer: Writer, name: str, version: str) -> str | None:
    query = "SELECT model_id FROM model_versions WHERE name = ? AND version = ?"
    row = writer.first(query, [name, version])
    return None if row is None else str(row[0])


def _may_sign(writer: Writer, name: str, version: str, role: SignatureRole, person: str) -> bool:
    """Return False if the signature is recorded already; raise if it is not permitted."""
    query = "SELECT role, person FROM model_signatures WHERE name = ? AND version = ?"
    held = {str(r): str(p) for r, p in writer.all(query, [name, version])}
    if role in held:
        if held[role] == person:
            return False
        what = f"it was {role} by {held[role]}"
        raise _refused(name, version, what, "give the model a new version")
    if role == "approved":
        if "registered" not in held:
            remedy = "another person than the approver runs `margin model register MODEL --by NAME`"
            raise _refused(name, version, "it is not registered", remedy)
        if held["registered"].casefold() == person.casefold():
            what = f"{held['registered']} registered it"
            raise _refused(name, version, what, "a second person has to approve it")
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
    problem = Problem(f"{name}@{version}", what, remedy)
    return InvalidParameters("the version of the model is refused", [problem])


__all__ = ["ModelSignature", "ModelVersionRecord", "ModelVersions", "SignatureRole"]
