"""The clearing house as one state machine: a state that is the fold of one log of events.

`decide` takes the state, a command and the time and returns the events to record, the state after
them and a reply, or a refusal. `fold` gives the state after an event. `payload_of` and `event_of`
are the codec of the log. The types of events are in `events`, those of commands in `commands`.
"""

from margin_actors.clearing.house.codec import event_of, payload_of
from margin_actors.clearing.house.commands import Command
from margin_actors.clearing.house.deciding import decide
from margin_actors.clearing.house.decisions import Decision, HouseRule, Refusal
from margin_actors.clearing.house.events import HouseEvent, Reply
from margin_actors.clearing.house.folding import fold
from margin_actors.clearing.house.state import EMPTY_HOUSE, HouseState

__all__ = [
    "EMPTY_HOUSE",
    "Command",
    "Decision",
    "HouseEvent",
    "HouseRule",
    "HouseState",
    "Refusal",
    "Reply",
    "decide",
    "event_of",
    "fold",
    "payload_of",
]
