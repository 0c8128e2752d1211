"""aivideo-mcp: an MCP server for AIVideoMaker that people can trust with paid video generation.

The rooms, each importing only from those below it (enforced by import-linter):

    cli, demo     commands and what they print
    doctor        what of all that a server needs is right, what is wrong, what to do
    transports    stdio with signals, SSE, streamable HTTP
    app           the table of tools becomes an MCP server
    console       words for people, and the log, on stderr
    offers        resources, subscriptions, prompts, completions
    sandbox       the embedded upstream: same contracts, own state machine, real MP4 clips
    asking        how a client, and the user behind it, is asked
    receipts      when an answer has left this server
    tools         the table of tools, in our own types; the one error boundary
    workflow      create -> wait -> fetch -> save
    waiting       waiting for one task: watched, told, saved
    reporting     what a waiting caller is told
    keeper        saves videos that nobody waits for any more
    history       what became of the account's tasks: upstream and ledger together
    media         finished videos, saved inside one folder
    submission    from a request to its task, with at most one charge
    watcher       one watch over all tasks that somebody waits for
    accounts      what the account says of itself
    background    work that goes on when its call has left
    client        the seven upstream calls
    ledger        what was asked, paid for and delivered; survives everything
    pictures      local pictures, read inside the folders of AIVIDEO_IMAGE_DIRS
    settings      flags and environment become one frozen value
    values        what the text of a variable may be
    tasks         what is answered: states, tasks, the envelope
    schemas       projections of the contracts: JSON Schemas, tables
    contracts     the model whitelist: fields, values, wire form, price
    errors        the tree of failures
"""

__version__ = "0.1.0"
