"""What of all that a server needs is right, what is wrong, what to do. Creates nothing, and asks the upstream once.

examination   all checks, in order and within bounds
environment   versions, variables, caps
service       the upstream: reachable, key, balance, models
folders       state folder, ledger, output and image folders
report        what a check found, and how it is told
"""

from aivideo_mcp.doctor.examination import examine
from aivideo_mcp.doctor.report import Check, Report, State

__all__ = ["Check", "Report", "State", "examine"]
