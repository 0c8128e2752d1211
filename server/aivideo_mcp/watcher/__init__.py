"""One watch over all tasks that somebody waits for.

watcher  who waits for which, and when it is time to ask
rounds   what is asked, and what an answer means
watch    one watched task
pace     how often
"""

from aivideo_mcp.watcher.pace import pause
from aivideo_mcp.watcher.watch import News, Notice
from aivideo_mcp.watcher.watcher import Watcher

__all__ = ["News", "Notice", "Watcher", "pause"]
