"""What the conformance suite asks for and our own tables do not express: the SDK's tools, resources and prompts.

They show that the server around them serves what the SDK can: pictures, the user's answers in both eras, templates.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolResult,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    MissingRequiredClientCapabilityErrorData,
    SamplingCapability,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

_Asking = Callable[[Context], Awaitable[TextContent | InputRequiredResult]]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
IMAGE = ImageContent(type="image", data=PNG, mime_type="image/png")

# SEP-1613 and SEP-2106: a schema must come through as it was written.
SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
USER = {
    "type": "object",
    "properties": {"username": {"type": "string"}, "email": {"type": "string"}},
    "required": ["username", "email"],
}
DEFAULTS = {  # SEP-1034
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}
_TITLED = [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}]
ENUMS = {  # SEP-1330
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
    "required": [],
}


def add_sdk_fixtures(server: MCPServer) -> None:
    _add_contents(server)
    _add_questions(server)
    _add_questions_of_2026(server)
    _add_changes(server)
    _add_resources(server)
    _add_prompts(server)


def _tool(server: MCPServer, name: str, fn: Callable[..., Any]) -> None:
    server.add_tool(fn, name=name, description=f"Fixture {name}", structured_output=False)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _add_contents(server: MCPServer) -> None:
    resource = _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    mixed = _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    for name, content in {
        "test_image_content": [IMAGE],
        "test_audio_content": [AudioContent(type="audio", data=WAV, mime_type="audio/wav")],
        "test_embedded_resource": [resource],
        "test_multiple_content_types": [_text("Multiple content types test:"), IMAGE, mixed],
    }.items():
        _tool(server, name, lambda content=tuple(content): CallToolResult(content=list(content)))
    _tool(server, "json_schema_2020_12_tool", lambda: _text("checked"))
    server._tool_manager.get_tool("json_schema_2020_12_tool").parameters = SCHEMA_2020

    def mirrored(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> TextContent:
        return _text(region)

    _tool(server, "test_mirrored_header", mirrored)


def _add_questions(server: MCPServer) -> None:
    """The older protocols: the server asks in the middle of a call."""

    async def ask(ctx: Context, message: str, schema: Mapping[str, Any]) -> TextContent:
        told = await ctx.session.elicit_form(message, dict(schema), ctx.request_context.request_id)
        return _text(f"User response: action={told.action}, content={json.dumps(told.content)}")

    async def elicitation(message: str, ctx: Context) -> TextContent:
        return await ask(ctx, message, USER)

    async def defaults(ctx: Context) -> TextContent:
        return await ask(ctx, "Please provide user information", DEFAULTS)

    async def enums(ctx: Context) -> TextContent:
        return await ask(ctx, "Please choose", ENUMS)

    _tool(server, "test_elicitation", elicitation)
    _tool(server, "test_elicitation_sep1034_defaults", defaults)
    _tool(server, "test_elicitation_sep1330_enums", enums)


def _form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sampling(text: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=_text(text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=50))


def _missing(ctx: Context, asked: Mapping[str, InputRequest], state: str | None = None) -> InputRequiredResult | None:
    """What to ask again; None when all of it is answered."""
    answers = ctx.input_responses or {}
    if all(name in answers for name in asked):
        return None
    return InputRequiredResult(input_requests=dict(asked), request_state=state)


def _add_questions_of_2026(server: MCPServer) -> None:
    """2026-07-28: a result says what is missing, and the client calls again with it."""
    name = {"user_name": _form("What is your name?", "name")}
    capital = {"capital_question": _sampling("What is the capital of France?")}
    roots = {"client_roots": ListRootsRequest()}
    confirm = {"confirm": _form("Please confirm", "ok", "boolean")}
    every = {**name, "greeting": _sampling("Generate a greeting"), **roots}

    def asking(asked: Mapping[str, InputRequest], state: str | None, answer: Callable[[Context], str]) -> _Asking:
        async def ask(ctx: Context) -> TextContent | InputRequiredResult:
            return _missing(ctx, asked, state) or _text(answer(ctx))

        return ask

    hello = asking(name, None, lambda ctx: f"Hello, {ctx.input_responses['user_name'].content['name']}!")
    confirmed = asking(confirm, "asked", lambda ctx: "state-ok" if ctx.request_state == "asked" else "state lost")
    for kind, fn in {
        "elicitation": hello,
        "sampling": asking(capital, None, lambda ctx: ctx.input_responses["capital_question"].content.text),
        "list_roots": asking(roots, None, lambda ctx: str(ctx.input_responses["client_roots"].roots)),
        "request_state": confirmed,
        "tampered_state": confirmed,
        "multiple_inputs": asking(every, "asked", lambda _: "all there"),
        "multi_round": _rounds,
        "capabilities": _asking_declared(every),
    }.items():
        _tool(server, f"test_input_required_result_{kind}", fn)
    _tool(server, "test_streaming_elicitation", hello)
    _tool(server, "test_missing_capability", _needs_sampling)


async def _rounds(ctx: Context) -> TextContent | InputRequiredResult:
    if ctx.request_state == "second":
        return _text("all rounds done")
    again = _missing(ctx, {"step1": _form("Step 1: What is your name?", "name")}, "first")
    step2 = {"step2": _form("Step 2: What is your favorite color?", "color")}
    return again or InputRequiredResult(input_requests=step2, request_state="second")


def _asking_declared(every: Mapping[str, InputRequest]) -> _Asking:
    async def ask(ctx: Context) -> TextContent | InputRequiredResult:
        can = ctx.client_capabilities
        needs = {"user_name": can.elicitation, "greeting": can.sampling, "client_roots": can.roots}
        asked = {key: every[key] for key, declared in needs.items() if declared is not None}
        return _missing(ctx, asked) or _text("nothing to ask")

    return ask


async def _needs_sampling(ctx: Context) -> TextContent:
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        needed = ClientCapabilities(sampling=SamplingCapability())
        data = MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        told = data.model_dump(by_alias=True, exclude_none=True)
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This needs sampling.", told)
    return _text("Nothing is missing.")


def _add_changes(server: MCPServer) -> None:
    """2026-07-28: who listens is told that the lists changed, though ours never do."""

    async def tools(ctx: Context) -> TextContent:
        await ctx.notify_tools_changed()
        return _text("told")

    async def prompts(ctx: Context) -> TextContent:
        await ctx.notify_prompts_changed()
        return _text("told")

    _tool(server, "test_trigger_tool_change", tools)
    _tool(server, "test_trigger_prompt_change", prompts)


def _add_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="A text")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="A picture")
    def binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://template/{id}/data", mime_type="application/json", description="A template")
    def data(id: str) -> str:  # noqa: A002 - the suite's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MCPServer) -> None:
    @server.prompt("test_prompt_with_embedded_resource", description="A prompt with a resource in it")
    def resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name
        embedded = _embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(embedded), UserMessage("Please process the embedded resource above.")]

    @server.prompt("test_prompt_with_image", description="A prompt with a picture in it")
    def image() -> list[UserMessage]:
        return [UserMessage(IMAGE), UserMessage("Please analyze the image above.")]

    @server.prompt("test_input_required_result_prompt", description="A prompt that asks first")
    def asking(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        asked = {"user_context": _form("What context should the prompt use?", "context")}
        return _missing(ctx, asked) or [UserMessage(ctx.input_responses["user_context"].content["context"])]
