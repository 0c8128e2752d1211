"""Every failure that a caller is told of, as one tree.

    AivideoError
    ├── InvalidInput             nothing was sent: the caller can mend the arguments
    │   ├── InvalidModel         INVALID_MODEL
    │   └── InvalidPayload       INVALID_PAYLOAD
    ├── Refused                  the upstream said no, and charged nothing
    │   ├── AuthFailed           AUTH_FAILED
    │   ├── RateLimited          RATE_LIMITED
    │   │   └── BudgetSpent      our own query budget, before the upstream's limit is hit
    │   ├── InsufficientCredits  INSUFFICIENT_CREDITS
    │   ├── TaskNotFound         TASK_NOT_FOUND
    │   │   └── PageNotFound     a 404 that is not the API's, and says nothing of a task
    │   ├── ContentRejected      CONTENT_REJECTED
    │   ├── BudgetExceeded       BUDGET_EXCEEDED
    │   ├── ConfirmationRequired CONFIRMATION_REQUIRED
    │   ├── ConfirmationDeclined CONFIRMATION_DECLINED
    │   ├── IdempotencyConflict  IDEMPOTENCY_CONFLICT
    │   └── NotCancellable       NOT_CANCELLABLE
    ├── NetworkError             NETWORK_ERROR: no usable answer (transport, 5xx)
    │   └── NotSent              the request never left: repeating it is safe
    ├── UnknownError             UNKNOWN_ERROR: an answer that fits nothing we know
    │   ├── BrokenAnswer         no answer of the API at all: HTML, empty, cut off, oversized
    │   └── Redirected           a redirect, which is not followed with the key
    ├── LedgerUnavailable        UNKNOWN_ERROR: nothing is sent without a record of it
    ├── SubmissionUncertain      SUBMISSION_UNCERTAIN: a create whose answer was lost
    ├── GenerationFailed         GENERATION_FAILED: the task ended FAILED
    ├── TaskCancelled            TASK_CANCELLED: the task ended CANCEL
    └── DownloadFailed           DOWNLOAD_FAILED: the video exists but could not be saved
        ├── FolderUnusable       it could not be saved if it did, so nothing was sent
        └── UnsafeAddress        its address is none that should be fetched, by anybody

    ConfigurationError           not for callers: one line on stderr, exit code 2

Handlers raise these and catch nothing; `app` turns them into an envelope at one place.
Each class's first docstring line is its row in the README's table of errors.
"""

from __future__ import annotations

from typing import ClassVar


class ConfigurationError(Exception):
    """A flag or variable is unusable. The text names it, its fault and an example."""


class AivideoError(Exception):
    """A failure with a code of the contract and at least one step the caller can take.

    Args:
        message: What happened, in one or two sentences; never holds the API key.
        next_steps: What the caller can do; the class's own advice where left out.
        retry_after: Seconds until trying again makes sense, where known.
        task_id: The task concerned, where there is one.
    """

    code: ClassVar[str] = "UNKNOWN_ERROR"
    advice: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        next_steps: tuple[str, ...] | None = None,
        retry_after: float | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_steps = self.advice if next_steps is None else next_steps
        self.retry_after = retry_after
        self.task_id = task_id


class InvalidInput(AivideoError):
    """Arguments that cannot be sent; no request was made."""


class InvalidModel(InvalidInput):
    """The model is unknown, or the account does not serve it."""

    code = "INVALID_MODEL"
    advice = ("Choose a model from list_models.",)


class InvalidPayload(InvalidInput):
    """A field is missing, unknown or has a value that is not allowed; the message names it."""

    code = "INVALID_PAYLOAD"
    advice = ("Correct the fields named in the message and call again: nothing was sent or charged.",)


class Refused(AivideoError):
    """The upstream said no before any charge."""


class AuthFailed(Refused):
    """The API key is missing, wrong, or not accepted."""

    code = "AUTH_FAILED"
    advice = (
        "Set AIVIDEO_API_KEY in the MCP client's configuration to a valid key and restart the server.",
        "aivideo-mcp doctor in a terminal checks the key.",
    )


class RateLimited(Refused):
    """Too many requests; `retryAfter` says when to try again."""

    code = "RATE_LIMITED"
    advice = ("Wait for retryAfter seconds, then make the same call again.",)


class BudgetSpent(RateLimited):
    """This machine's query budget is spent, or the upstream asked for quiet."""


class InsufficientCredits(Refused):
    """The balance does not cover the price; nothing was charged."""

    code = "INSUFFICIENT_CREDITS"
    advice = ("Ask the user to top up the API credits, or choose a shorter video or a cheaper model (list_models).",)


class TaskNotFound(Refused):
    """No such task, or it belongs to another API key."""

    code = "TASK_NOT_FOUND"
    advice = (
        "Check the task id: it must be copied exactly from the call that created the task.",
        "A task can be seen only with the API key that created it.",
    )


class PageNotFound(TaskNotFound):
    """A 404 without the API's envelope: a proxy's page, perhaps."""

    advice = (
        "Check AIVIDEO_BASE_URL: it must be the API's own address, such as https://aivideomaker.ai.",
        "aivideo-mcp doctor in a terminal checks it.",
    )


class ContentRejected(Refused):
    """The upstream's moderation refused the prompt or the picture."""

    code = "CONTENT_REJECTED"
    advice = ("Change the prompt or the picture; the same content will be refused again.",)


class BudgetExceeded(Refused):
    """The price is above a spending cap; nothing was charged."""

    code = "BUDGET_EXCEEDED"
    advice = ("Choose a shorter video or a cheaper model, or ask the user to raise the cap.",)


class ConfirmationRequired(Refused):
    """The user has to agree to the price first; nothing was sent.

    Args:
        question: What to ask the user.
        price: Credits to agree to.
    """

    code = "CONFIRMATION_REQUIRED"

    def __init__(
        self,
        question: str,
        *,
        price: int = 0,
        next_steps: tuple[str, ...] | None = None,
        retry_after: float | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(
            f"The user has to agree first, so it was not sent: {question}",
            next_steps=next_steps,
            retry_after=retry_after,
            task_id=task_id,
        )
        self.question = question
        self.price = price


class ConfirmationDeclined(Refused):
    """The user did not agree to the price; nothing was sent."""

    code = "CONFIRMATION_DECLINED"
    advice = ("Do not call again unless the user asks for it; a shorter video or another model may cost less.",)


class IdempotencyConflict(Refused):
    """The idempotency key was used before with different arguments."""

    code = "IDEMPOTENCY_CONFLICT"
    advice = ("Repeat the original arguments with this key, or use a new idempotencyKey for a new generation.",)


class NotCancellable(Refused):
    """The task has left SUBMITTED, the only state in which it can be cancelled."""

    code = "NOT_CANCELLABLE"


class NetworkError(AivideoError):
    """The upstream could not be reached, or kept answering 5xx."""

    code = "NETWORK_ERROR"
    advice = ("Try the same call again in a minute.",)


class NotSent(NetworkError):
    """The connection could not be made, so the request never left."""

    advice = ("This is the connection, not the API key; aivideo-mcp doctor in a terminal says more.",)


class UnknownError(AivideoError):
    """The upstream's answer could not be understood, or the ledger cannot be used; the message says which."""

    code = "UNKNOWN_ERROR"
    advice = ("Try the same call again in a minute.",)


class BrokenAnswer(UnknownError):
    """What came back is no answer of the API: HTML, nothing, half a document, too much."""

    advice = ("Try the same call again in a minute; if it stays so, check AIVIDEO_BASE_URL: aivideo-mcp doctor does.",)


class Redirected(UnknownError):
    """The upstream pointed elsewhere, and the key does not go there."""

    advice = ("Check AIVIDEO_BASE_URL: it must be the API's own address, without redirects.",)


class LedgerUnavailable(AivideoError):
    """The ledger cannot be read or written, and nothing is paid for without a record."""

    advice = (
        "Ask the user to free disk space, mend the folder's permissions, or set AIVIDEO_STATE_DIR to another folder.",
    )


class SubmissionUncertain(AivideoError):
    """The create was sent but its answer was lost: it may have been charged."""

    code = "SUBMISSION_UNCERTAIN"


class GenerationFailed(AivideoError):
    """The task ended FAILED; the message gives the upstream's reason."""

    code = "GENERATION_FAILED"
    advice = (
        "Read the reason: change the prompt or picture if it names them, otherwise try once more or another model.",
        "A key that was given answers with this failure again: give a new idempotencyKey.",
        "Credits of a failed task are refunded by the upstream; creditsRefunded shows it.",
    )


class TaskCancelled(AivideoError):
    """The task was cancelled before it started."""

    code = "TASK_CANCELLED"
    advice = (
        "Call generate_video again if a video is still wanted; that is a new charge.",
        "A key that was given answers with this end again: give a new idempotencyKey.",
    )


class DownloadFailed(AivideoError):
    """The video is finished but could not be saved; or could not be, so that nothing was sent or charged."""

    code = "DOWNLOAD_FAILED"
    advice: ClassVar[tuple[str, ...]] = ("Open videoUrl directly: the upstream keeps the file for 24 hours.",)


class FolderUnusable(DownloadFailed):
    """The output folder cannot be written to, and nothing is paid for that could not be kept."""

    advice = (
        "Ask the user to mend the folder, or to set AIVIDEO_OUTPUT_DIR to another one and restart the server.",
        "With AIVIDEO_OUTPUT_DIR unset videos are made and not saved.",
    )


class UnsafeAddress(DownloadFailed):
    """The file's address holds credentials, is not https, or leads into a private network."""

    advice = ("Do not open or fetch videoUrl: tell the user that its address was refused, and why.",)


def codes() -> dict[str, type[AivideoError]]:
    """Every error code of the contract, with the class that carries it, in the tree's order."""
    found: dict[str, type[AivideoError]] = {}
    pending: list[type[AivideoError]] = [AivideoError]
    while pending:
        kind = pending.pop(0)
        if "code" in vars(kind) and kind is not AivideoError:
            found.setdefault(kind.code, kind)
        pending = kind.__subclasses__() + pending
    return found
