"""What is advertised, written on the wire and told in tables: projections of the contracts, checked from outside."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from test_contracts import BASIC, ORACLE, REQUIRED, TAKES, VALUES, Body, advertised, as_upstream, requests, steady

from aivideo_mcp.contracts import MODELS, read_request
from aivideo_mcp.errors import codes
from aivideo_mcp.schemas import MEANINGS, answer_schema, describe_model, generation_properties, wire_schema
from aivideo_mcp.tasks import Answer, Catalogue, Envelope, Model, Output, Quote, Sighting, Status, Submission, Task

VOCABULARY: Final = (
    *("prompt", "prompts", "image", "images", "lastFrame", "referenceImages", "referenceVideo", "referenceAudio"),
    *("aspectRatio", "duration", "resolution", "tier", "promptExtend"),
)
FLAT_KEYS: Final = {"type", "description", "enum", "items"} | {"minimum", "maximum", "default"}
TYPES: Final = {
    "string": {"model", "prompt", "image", "lastFrame", "referenceVideo", "aspectRatio", "resolution", "tier"},
    "array": {"prompts", "images", "referenceImages", "referenceAudio"},
    "integer": {"duration"},
    "boolean": {"promptExtend"},
}


def nodes(schema: object) -> Iterator[Body]:
    """Every subschema, and every other object, of a schema."""
    if isinstance(schema, dict):
        yield schema
    if isinstance(schema, dict | list):
        for inner in schema.values() if isinstance(schema, dict) else schema:
            yield from nodes(inner)


# --- The flat input schema ------------------------------------------------------------------------------------------


def test_the_vocabulary_is_the_product_s_and_every_word_has_a_meaning() -> None:
    assert tuple(MEANINGS) == VOCABULARY
    assert all(meaning.endswith(".") and 5 <= len(meaning) < 80 for meaning in MEANINGS.values())


def test_model_comes_first_and_the_fields_follow_in_the_vocabulary_s_order() -> None:
    assert list(generation_properties(describe=True)) == ["model", *VOCABULARY]


@pytest.mark.parametrize("describe", [True, False])
def test_properties_are_flat(describe: bool) -> None:
    """Several hosts refuse unions, references and type lists in what a tool takes."""
    for name, schema in generation_properties(describe=describe).items():
        assert schema.keys() <= FLAT_KEYS
        assert name in TYPES[schema["type"]]
        assert ("items" in schema) == (schema["type"] == "array")
        assert schema.get("items", {"type": "string"}) == {"type": "string"}
    Draft202012Validator.check_schema(advertised(describe=describe).schema)


def test_only_the_described_form_has_descriptions() -> None:
    described, bare = generation_properties(describe=True), generation_properties(describe=False)
    assert {name for name, schema in described.items() if "description" in schema} == set(VOCABULARY)
    assert not any("description" in schema for schema in bare.values())
    assert {n: {k: v for k, v in s.items() if k != "description"} for n, s in described.items()} == bare


def test_enumerations_are_the_union_over_the_models() -> None:
    properties = generation_properties(describe=False)
    assert properties["model"]["enum"] == list(MODELS)
    assert set(properties["aspectRatio"]["enum"]) == {"auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"}
    assert set(properties["resolution"]["enum"]) == {"480p", "720p", "1080p"}
    assert set(properties["tier"]["enum"]) == {"turbo", "base"}
    assert (properties["duration"]["minimum"], properties["duration"]["maximum"]) == (3, 20)


@pytest.mark.parametrize(("model", "field"), [(model, field) for model, fields in TAKES.items() for field in fields])
def test_a_description_says_which_models_take_the_field_and_what_they_allow(model: str, field: str) -> None:
    text = generation_properties(describe=True)[field]["description"]
    groups = text.removeprefix(MEANINGS[field]).split(";")
    group = next(g for g in groups if model in g.partition(":")[0].replace("!", "").replace(",", " ").split())
    assert (f"{model}!" in group) == (field in REQUIRED[model])
    assert VALUES.get((model, field), "") in group
    others = {m for m, fields in TAKES.items() if field not in fields}
    assert not any(m in text.replace("!", "").replace(",", " ").replace(":", " ").split() for m in others)


def test_the_descriptions_fit_a_model_s_attention() -> None:
    assert len(json.dumps(generation_properties(describe=True))) < 4000
    assert len(json.dumps(generation_properties(describe=False))) < 1500


def test_what_one_caller_changes_no_other_sees() -> None:
    generation_properties(describe=True)["duration"]["maximum"] = 1
    assert generation_properties(describe=True)["duration"]["maximum"] == 20


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"model": "sora"},
        BASIC["t2v"] | {"zork": 1},
        BASIC["t2v"] | {"duration": "5"},
        BASIC["t2v"] | {"duration": 99},
    ],
)
def test_the_advertised_schema_refuses_what_no_model_takes(arguments: Body) -> None:
    """A host that validates for itself tells its model early."""
    assert not advertised(describe=True).is_valid(arguments)


# --- The wire schema ------------------------------------------------------------------------------------------------

_wrong: Final = (None, True, 5, 7, 99, 720, 721, "5", "7", "720", "720p", "720P", "9:16", "9/16", "turbo", [], {}, [5])


@pytest.mark.parametrize("model", MODELS)
def test_a_wire_schema_is_a_schema(model: str) -> None:
    schema = wire_schema(MODELS[model])
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert set(schema["required"]) == set(ORACLE[model]["required"])
    assert set(schema["properties"]) == set(ORACLE[model]["properties"])


@steady
@given(requests)
def test_the_wire_schema_accepts_what_is_sent(arguments: Body) -> None:
    schema = wire_schema(MODELS[arguments["model"]])
    assert list(Draft202012Validator(schema).iter_errors(read_request(arguments).wire())) == []
    assert list(Draft202012Validator(schema).iter_errors(as_upstream(arguments))) == []


@steady
@given(requests, st.data())
def test_the_wire_schema_judges_one_changed_field_as_the_table_does(arguments: Body, data: st.DataObject) -> None:
    """Types and values, field by field; rules between fields and the form of a URL are the contract's business."""
    model = arguments["model"]
    table: dict[str, Any] = ORACLE[model]["properties"]
    field = data.draw(st.sampled_from(sorted(table)))
    value = data.draw(st.sampled_from(_wrong))
    if _is_free_text(table[field]) and isinstance(value, str):
        value = ["not", "one", "text", 5]
    if (model, field) == ("wan27", "promptExtend") and value is None:
        return  # whether null is allowed there is not known
    expected = Draft202012Validator(table[field]).is_valid(value)
    body = as_upstream(arguments) | {field: value}
    assert Draft202012Validator(wire_schema(MODELS[model])).is_valid(body) is expected


@pytest.mark.parametrize(("model", "field"), [(m, f) for m, table in ORACLE.items() for f in table["required"]])
def test_the_wire_schema_misses_a_required_field(model: str, field: str) -> None:
    body = as_upstream(BASIC[model])
    del body[field]
    assert not Draft202012Validator(wire_schema(MODELS[model])).is_valid(body)


def _is_free_text(schema: Body) -> bool:
    """Whether any text will do for this schema, but for a pattern."""
    return any("pattern" in node for node in nodes(schema))


# --- The description of a model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_model_s_description_is_json_and_complete(model: str) -> None:
    told = describe_model(MODELS[model])
    assert json.loads(json.dumps(told)) == told
    assert told["model"] == model
    assert [field["name"] for field in told["fields"]] == list(TAKES[model])
    for field in told["fields"]:
        assert field["required"] == (field["name"] in REQUIRED[model])
        assert field["name"] in TYPES[field["type"]]
        assert field["allowed"] == VALUES.get((model, field["name"]), field["allowed"])
    assert told["price"]
    assert told["summary"]


def test_defaults_and_rules_are_told() -> None:
    told = describe_model(MODELS["minimax"])
    defaults = {field["name"]: field["default"] for field in told["fields"] if field["default"] is not None}
    assert defaults == {"duration": "5", "resolution": "720p", "tier": "turbo", "aspectRatio": "16:9"}
    assert told["rules"] == [
        "image and lastFrame cannot be combined with referenceImages, referenceVideo, referenceAudio"
    ]
    assert describe_model(MODELS["seedance20"])["rules"] == ["at least one of prompt, image, referenceVideo is needed"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_s_description_is_what_the_catalogue_answers(model: str) -> None:
    told = describe_model(MODELS[model])
    answered = Model.model_validate(told).model_dump(mode="json", by_alias=True)
    assert answered == told | {"served": None}


# --- The output schemas ---------------------------------------------------------------------------------------------

ANSWERS: Final[tuple[type[Answer], ...]] = (Task, Submission, Sighting, Catalogue, Quote)
COMPLETED: Final = {
    "id": "ck1",
    "status": "COMPLETED",
    "model": "t2v",
    "creditsCharged": 15,
    "creditsRefunded": 0,
    "createdAt": "2026-09-10T10:00:00.000Z",
    "completedAt": "2026-09-10T10:05:00.000Z",
    "output": {"url": "https://cdn.example/a.mp4"},
}


def _catalogue() -> Catalogue:
    return Catalogue(models=tuple(Model.model_validate(describe_model(contract)) for contract in MODELS.values()))


DATA: Final[tuple[Answer, ...]] = tuple(
    answer
    for answer in (
        Task.read(COMPLETED),
        Task.read({"id": "ck1", "status": "SUBMITTED"}),
        Task.read({"id": "ck1", "status": "FAILED", "output": {"error": "no"}}),
        Submission.read({"taskId": "ck1", "status": "SUBMITTED", "creditsCharged": 15}, "t2v", "key-12345"),
        Submission.read({"taskId": "ck1"}, "t2v", "key-12345"),
        Sighting(id="ck1", status="PROGRESS"),
        _catalogue(),
        Quote.read({"credits": 15, "currentBalance": 50, "affordable": True}, "t2v"),
        Quote.read({"credits": 15}, "t2v"),
    )
    if answer is not None
)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_output_schema_is_plain(answer: type[Answer]) -> None:
    schema = answer_schema(Envelope, answer)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    for node in nodes(schema):
        assert not node.keys() & {"$ref", "$defs", "title"}
        if node.get("type") == "object":
            assert set(node["required"]) == set(node["properties"])
            assert list(node["required"]) == list(node["properties"])


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_output_schema_has_the_eight_keys(answer: type[Answer]) -> None:
    keys = ["ok", "status", "taskId", "data", "errorCode", "errorMessage", "retryAfter", "nextSteps"]
    assert list(answer_schema(Envelope, answer)["properties"]) == keys


@pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
def test_a_real_envelope_keeps_its_output_schema(data: Answer) -> None:
    schema = Draft202012Validator(answer_schema(Envelope, type(data)))
    for envelope in (
        Envelope(ok=True, status=Status.PROGRESS, task_id="ck1", data=data, next_steps=("Wait.",)),
        Envelope(ok=True, data=data, retry_after=1.5),
    ):
        dumped = envelope.model_dump(mode="json", by_alias=True)
        assert list(schema.iter_errors(dumped)) == []
        assert json.loads(envelope.model_dump_json(by_alias=True)) == dumped


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("code", codes())
def test_every_failure_keeps_every_output_schema(answer: type[Answer], code: str) -> None:
    schema = Draft202012Validator(answer_schema(Envelope, answer))
    failure = codes()[code]("It went wrong.", retry_after=3, task_id="ck1")
    assert list(schema.iter_errors(Envelope.failure(failure).model_dump(mode="json", by_alias=True))) == []


def test_an_output_schema_refuses_a_lost_key_and_other_data() -> None:
    """The schema says something: it is no empty promise."""
    schema = Draft202012Validator(answer_schema(Envelope, Sighting))
    whole = Envelope(ok=True, data=Sighting(id="a", status="PROGRESS")).model_dump(mode="json", by_alias=True)
    assert schema.is_valid(whole)
    for key in whole:
        assert not schema.is_valid({name: value for name, value in whole.items() if name != key})
    assert not schema.is_valid(whole | {"data": Output().model_dump(by_alias=True)})
    assert not schema.is_valid(whole | {"status": "DONE"})


def test_a_finished_task_s_data_has_the_promised_keys() -> None:
    task = Task.read(COMPLETED)
    assert task is not None
    promised = {
        *("id", "model", "status", "videoUrl", "expiresAt", "creditsCharged", "creditsRefunded"),
        *("createdAt", "completedAt", "file", "output"),
    }
    assert promised <= task.model_dump(by_alias=True).keys()


def test_the_error_codes_are_the_promised_ones() -> None:
    skill = {
        *("INVALID_MODEL", "INVALID_PAYLOAD", "AUTH_FAILED", "RATE_LIMITED", "INSUFFICIENT_CREDITS"),
        *("TASK_NOT_FOUND", "NETWORK_ERROR", "UNKNOWN_ERROR"),
    }
    ours = {
        *("GENERATION_FAILED", "TASK_CANCELLED", "CONTENT_REJECTED", "BUDGET_EXCEEDED", "IDEMPOTENCY_CONFLICT"),
        *("NOT_CANCELLABLE", "SUBMISSION_UNCERTAIN", "CONFIRMATION_REQUIRED", "DOWNLOAD_FAILED"),
    }
    assert skill | ours <= codes().keys() <= skill | ours | {"CONFIRMATION_DECLINED"}
    assert all(kind.code == code for code, kind in codes().items())
