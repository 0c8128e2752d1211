"""What was asked, paid for and delivered; survives everything.

ledger   asynchronous, opened at first use
store    the transactions
tables   the tables and their migrations
records  what goes in and comes out
"""

from aivideo_mcp.ledger.ledger import Ledger
from aivideo_mcp.ledger.records import OWN_KEY, Intent, Role, Wanted, likeness

__all__ = ["OWN_KEY", "Intent", "Ledger", "Role", "Wanted", "likeness"]
