"""The upstream: whether it can be reached, takes the key, has credits left and serves the models. One request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.client.connecting import ONLINE, causes
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.doctor.environment import cheapest
from aivideo_mcp.doctor.report import Check, State
from aivideo_mcp.errors import (
    AivideoError,
    AuthFailed,
    BrokenAnswer,
    NotSent,
    RateLimited,
    Redirected,
    TaskNotFound,
)
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Account, quoted

_SHOWN: Final = 20  # names at most; the upstream may list any number
_URL: Final = "Check AIVIDEO_BASE_URL: it must be the API's own address, such as https://aivideomaker.ai."
_PREFIX: Final = "ak_"


async def service(settings: Settings, upstream: Upstream) -> tuple[list[Check], bool]:
    """What one look at the account says; and whether it was in vain for want of time."""
    began = anyio.current_time()
    try:
        account = await _account(settings, upstream)
    except RateLimited as limited:
        wait = f"Wait {limited.retry_after or 0:.0f} s and look again."
        return [Check("upstream", State.WARN, limited.message, wait), key(settings)], False
    except AuthFailed as refused:
        if settings.api_key is None:
            return [_reached(settings, began), key(settings)], False
        refusal = Check("key", State.FAIL, f"not accepted. {refused.message}", " ".join(refused.next_steps))
        return [_reached(settings, began), refusal], False
    except AivideoError as failure:
        late = any(isinstance(cause, TimeoutError) for cause in causes(failure))
        return [_unreached(failure), key(settings)], late
    said = "; it is a sandbox: no real videos, no real credits" if account.sandbox else ""
    accepted = key(settings, " and accepted")
    return [_reached(settings, began, said), accepted, _balance(account.current_balance), _models(account)], False


def key(settings: Settings, accepted: str = "") -> Check:
    """What the key looks like, and never the key."""
    if settings.api_key is None:
        return Check(
            "key",
            State.FAIL,
            "not set: nothing can be made.",
            "Set AIVIDEO_API_KEY, or try `aivideo-mcp serve --sandbox`.",
        )
    if not settings.api_key.startswith(_PREFIX):
        advice = "Keys of the real API do; copy it again, without quotes."
        return Check("key", State.WARN, f"set{accepted}; it does not begin with {_PREFIX}.", advice)
    return Check("key", State.OK, f"set{accepted}.")


async def _account(settings: Settings, upstream: Upstream) -> Account:
    """The account; without a key, what keeps a request without one from being answered."""
    if settings.api_key is not None:
        return await upstream.account()
    exchange = await upstream.exchange()
    from aivideo_mcp.client.exchange import SMALL_ANSWER  # noqa: PLC0415 - loaded by now
    from aivideo_mcp.client.judging import judge  # noqa: PLC0415 - the same

    reply = await exchange.send("GET", "/api/v1/account", {"Accept": "application/json"}, ceiling=SMALL_ANSWER)
    return Account.read(judge(reply, now=datetime.now(UTC), secret=""))


def _reached(settings: Settings, began: float, said: str = "") -> Check:
    took = (anyio.current_time() - began) * 1000
    return Check("upstream", State.OK, f"{settings.base_url} answers, after {took:.0f} ms{said}.")


def _unreached(failure: AivideoError) -> Check:
    advice = "Wait some minutes and look again; what was paid for is not lost."
    if isinstance(failure, NotSent):
        advice = failure.next_steps[0]
    elif isinstance(failure, Redirected | TaskNotFound | BrokenAnswer):
        advice = _URL
    elif any(isinstance(cause, TimeoutError) for cause in causes(failure)):
        advice = f"{ONLINE} If it is only slow, raise AIVIDEO_TIMEOUT_MS."
    return Check("upstream", State.FAIL, failure.message, advice)


def _balance(credits_left: int | None) -> Check:
    if credits_left is None:
        return Check("balance", State.WARN, "not told by the upstream.")
    told = f"{credits_left} credits (USD {credits_left / 100:.2f})."
    if credits_left < cheapest():
        short = f"The cheapest video is estimated at {cheapest()} credits: top up the account."
        return Check("balance", State.WARN, told, short)
    return Check("balance", State.OK, told)


def _models(account: Account) -> Check:
    if account.supported_models is None:
        return Check("models", State.WARN, "not told by the upstream.")
    served = {quoted(name, 40) or "?" for name in account.supported_models}
    missing = [name for name in MODELS if name not in served]
    unknown = sorted(served - MODELS.keys())
    finding = f"{len(MODELS) - len(missing)} of the {len(MODELS)} that are known here are served"
    finding += f"; not served: {', '.join(missing)}" if missing else ""
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    finding += f"; served and not known here: {', '.join(unknown[:_SHOWN])}{more}" if unknown else ""
    advice = "A call for what is not served is refused before anything is sent." if missing else ""
    newer = "A newer aivideo-mcp may know the others." if unknown else ""
    return Check("models", State.WARN if missing else State.OK, f"{finding}.", f"{advice} {newer}".strip())
