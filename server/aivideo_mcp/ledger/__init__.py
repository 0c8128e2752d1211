"""What was asked, paid for and delivered; survives everything.

ledger        what the house calls: asynchronous, opened at first use
access        the way to the file: threads, opening, faults as callers know them
notes         the ledger where a call goes on without it
holders       which claims are at work
gate          what every query passes
store         the open file, of which all that follows works on one part
intents       from a claim to its task
outcomes      what became of tasks
purse         what was spent, and what the user agreed to
budget        the query budget of all processes; `alone` that of one which cannot share
transactions  whole or not at all
tables        the tables and their migrations
file          the file: opened, checked, set aside
presence      which server processes are there
records       what goes in and comes out
"""

from aivideo_mcp.ledger.access import InThread
from aivideo_mcp.ledger.ledger import Ledger
from aivideo_mcp.ledger.notes import noted, recalled
from aivideo_mcp.ledger.records import DAY, OWN_KEY, Intent, Known, Likeness, Rivals, Role, Standing, Wanted

__all__ = [
    "DAY",
    "OWN_KEY",
    "InThread",
    "Intent",
    "Known",
    "Ledger",
    "Likeness",
    "Rivals",
    "Role",
    "Standing",
    "Wanted",
    "noted",
    "recalled",
]
