"""Versions of models in a service's ledger: recording, reading, and the check of their approval."""

import json
from datetime import UTC, datetime

from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidMarketData, InvalidParameters, MissingInput, Problem
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Ledger
from margin_cluster.sources import ModelRegistry


def record_model(ledger: Ledger, model: ModelParameters) -> None:
    """Record the parameters of a version in the ledger; does nothing if they are recorded.

    Raises
    ------
    InvalidParameters
        If the version is recorded with other parameters.
    """
    ledger.models.add(
        model.id,
        name=model.name,
        version=model.version,
        parameters=json.dumps(model.model_dump(mode="json")),
        now=datetime.now(UTC),
    )


def recorded_model(
    archive: StoreArchive, model_id: str, registry: ModelRegistry | None = None
) -> ModelParameters:
    """Return the parameters of the model with an id.

    Parameters
    ----------
    archive : StoreArchive
    model_id : str
    registry : ModelRegistry, optional
        Where to look for models that an earlier version of the service used, which did not record
        parameters in the ledger.

    Raises
    ------
    MissingInput
        If the parameters are recorded neither in the ledger nor in the registry.
    InvalidMarketData
        If the recorded parameters have another id.
    """
    found = archive.ledger.models.parameters(model_id)
    if found is None:
        for record in registry.records() if registry is not None else ():
            if record.parameters.id == model_id:
                return record.parameters
        raise MissingInput(
            f"the parameters of the model {model_id} are not recorded",
            [Problem("model", model_id, "start the service once with that model to record them")],
        )
    try:
        parameters = ModelParameters.model_validate(json.loads(found))
    except ValueError as fault:
        raise _damaged(model_id, "its parameters cannot be read") from fault
    if parameters.id != model_id:
        raise _damaged(model_id, f"its parameters are those of {parameters.id}")
    return parameters


def _damaged(model_id: str, what: str) -> InvalidMarketData:
    problem = Problem(model_id, what, "`margin ledger verify` names the entry; restore a backup")
    return InvalidMarketData(f"the recorded model {model_id} is damaged", [problem])


def approval_notice(ledger: Ledger, model: ModelParameters, *, is_required: bool) -> str | None:
    """Return a notice if a version of a model is not approved, or None if it is approved.

    Raises
    ------
    InvalidParameters
        If it is not approved although that is required.
    """
    found = ledger.models.named(model.name, model.version)
    if found is not None and found.approved is not None:
        return None
    name = f"{model.name}@{model.version}"
    registrar = found.registered_by if found is not None else ""
    what = f"registered by {registrar} and not approved" if registrar else "not registered"
    remedy = f"`margin model approve {name} --by NAME` approves it"
    if not registrar:
        remedy = f"`margin model register {model.name} --by NAME` registers it, then {remedy}"
    if is_required:
        raise InvalidParameters(
            "the model is not approved", [Problem(f"--model {name}", what, remedy)]
        )
    return f"The model {name} ({model.id}) is {what}: {remedy}."
