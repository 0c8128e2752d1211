"""`python -m aivideo_mcp` is the console script by another name."""

from aivideo_mcp.cli import main

main()
