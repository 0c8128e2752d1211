"""The embedded upstream: the documented API over real HTTP, for tests, the demo, and trying things without a key.

Nothing here generates a video or costs money: tasks pass through the real states on accelerated time and end
with one of six small clips that say what they are.

    serving      running_sandbox: a loopback server that lives as long as a `with` block
    app          the parts put together into one ASGI application
    routes       endpoints, one method each
    disturbance  faults carried out, as an ASGI middleware
    bank         accounts, submissions, replays, refunds
    tasks        one generation, whose state is read off the clock
    orders       request bytes -> checked, priced order, or a refusal
    validation   what is wrong with a request body, in words
    wire         upstream's spelling -> our vocabulary
    traffic      counts of calls, and the query limit
    clips        which clip stands for a result
    refusals     the upstream's error envelope
    options      how a sandbox is set up
    faults       what a fault specification means
"""

from aivideo_mcp.sandbox.options import SandboxOptions
from aivideo_mcp.sandbox.serving import RunningSandbox, running_sandbox

__all__ = ["RunningSandbox", "SandboxOptions", "running_sandbox"]
