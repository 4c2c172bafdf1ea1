"""The plan of a simulated day: everything that determines its log; stored beside the ledger."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import Field, ValidationError

from margin_actors.errors import InvalidRequest, Problem
from margin_actors.market.identity import content_id
from margin_actors.parameter_section import ParameterSection
from margin_cluster.atomic import write_atomically
from margin_cluster.simulation.members import MemberRules

PLAN_FILE = "plan.json"


class DayPlan(ParameterSection):
    """What a simulated day is made of. Equal plans on equal files give the same log."""

    start: datetime
    """UTC, a whole minute."""
    hours: float = Field(gt=0, le=24 * 14)
    """Length in hours."""
    every_seconds: int = Field(default=300, ge=60, le=3_600)
    """Time between two scheduled cycles, seconds."""
    model_id: str
    """Id of the margin model."""
    model: str
    """Preset or file of the model."""
    data: str | None
    """Data folder; null for the synthetic crash."""
    book: str | None
    """File of positions; null for the book of the data folder."""
    book_id: str
    """Id of the positions."""
    collateral: str | None
    """File of collateral; null for the rule of initial collateral."""
    collateral_id: str
    """Id of the collateral; empty without a file."""
    multiple: Decimal = Decimal("1.15")
    """Initial collateral as a multiple of the first requirement."""
    usdc_share: Decimal = Decimal("0.7")
    """Share of the initial collateral in USDC."""
    members: MemberRules = MemberRules()
    """How members behave."""

    @property
    def end(self) -> datetime:
        """End of the day, UTC."""
        return self.start + timedelta(hours=self.hours)

    @property
    def id(self) -> str:
        """Content id."""
        return content_id("day", self.model_dump(mode="json"))

    def write(self, folder: Path) -> None:
        """Write the plan into a folder."""
        text = self.model_dump_json(indent=1) + "\n"
        write_atomically(folder / PLAN_FILE, lambda aside: aside.write_text(text, "utf-8"))


def read_plan(folder: Path) -> DayPlan:
    """Return the plan of a folder.

    Raises
    ------
    InvalidRequest
        If there is none, or it cannot be read.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        problem = Problem(str(path), "does not exist", "start the day without --resume")
        raise InvalidRequest("there is no simulated day to continue", [problem])
    try:
        return DayPlan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InvalidRequest(
            "the plan of the day cannot be read", [Problem(str(path), what)]
        ) from error
