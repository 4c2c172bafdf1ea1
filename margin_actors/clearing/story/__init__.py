"""What happened to one account, told from the log in sentences that need no other document.

`account_story` takes the state before a period and the recorded events of the period. Every line
names the entry of the log that proves it, who acted, and the identifiers concerned.
"""

from margin_actors.clearing.story.lines import (
    AccountPosition,
    Logged,
    Story,
    StoryLine,
    Tone,
    Topic,
)
from margin_actors.clearing.story.telling import StoryRules, account_story

__all__ = [
    "AccountPosition",
    "Logged",
    "Story",
    "StoryLine",
    "StoryRules",
    "Tone",
    "Topic",
    "account_story",
]
