"""A simulated day of the clearing house: a recorded or synthetic market, members, a virtual clock.

The day itself is that of `margin_cluster.operations`: the schedule decides when cycles run, the
cycle runner margins the book, and the procedures settle. This package replaces what is outside of
the clearing house: the market, the members and the clock.
"""

from margin_cluster.simulation.inputs import DayInputs, prepare_day
from margin_cluster.simulation.members import MemberRules
from margin_cluster.simulation.opening import InitialCollateral
from margin_cluster.simulation.plan import DayPlan
from margin_cluster.simulation.running import DayRun, VirtualClock
from margin_cluster.simulation.tally import DayView

__all__ = [
    "DayInputs",
    "DayPlan",
    "DayRun",
    "DayView",
    "InitialCollateral",
    "MemberRules",
    "VirtualClock",
    "prepare_day",
]
