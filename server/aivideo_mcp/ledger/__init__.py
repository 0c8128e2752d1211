"""What was asked, paid for and delivered; survives everything.

ledger    asynchronous, opened at first use
store     the transactions
budget    the query budget of all processes; `alone` that of one which cannot share
tables    the tables and their migrations
file      the file: opened, checked, set aside
presence  which server processes are there
records   what goes in and comes out
"""

from aivideo_mcp.ledger.ledger import Ledger
from aivideo_mcp.ledger.records import DAY, OWN_KEY, Intent, Known, Likeness, Rivals, Role, Standing, Wanted

__all__ = ["DAY", "OWN_KEY", "Intent", "Known", "Ledger", "Likeness", "Rivals", "Role", "Standing", "Wanted"]
