"""Each model's exact schema, held against what its contract takes."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from test_contracts import BASIC, REQUIRED, TAKES, Body, requests, steady

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.schemas import exact_schema

EXACT: Final = {model: Draft202012Validator(exact_schema(contract)) for model, contract in MODELS.items()}
MEDIA: Final = {"image", "images", "lastFrame", "referenceImages", "referenceVideo", "referenceAudio"}
ODD: Final[tuple[Any, ...]] = (
    *(True, False, 0, 3, 4, 5, 7, 8, 10, 15, 16, 20, 21, 5.5, -1, 10**30, "", " \n", "5", "720p", "480p", "720P"),
    *("9:16", "21:9", "auto", "turbo", "t2v", [], {}, [5], [""], ["a"], ["a"] * 6, ["a"] * 7, [["a"]]),
)


def takes(request: Body) -> bool:
    """Whether the contract takes a request as it is written."""
    try:
        MODELS[request["model"]].model_validate(request)
    except ValidationError:
        return False
    return True


def only_a_look_tells(request: Body) -> bool:
    """Whether a picture or link is a text of another kind, which no schema sees."""
    values = [request[name] for name in MEDIA & request.keys()]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return any(isinstance(t, str) and t.strip() and not t.startswith(("http", "data:")) for t in texts)


@pytest.mark.parametrize("model", MODELS)
def test_an_exact_schema_is_a_schema_of_the_model_s_own_fields(model: str) -> None:
    schema = EXACT[model].schema
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert list(schema["properties"]) == ["model", *TAKES[model]]
    assert set(schema["required"]) == {"model", *REQUIRED[model]}
    assert EXACT[model].is_valid(BASIC[model])


@steady
@given(requests)
def test_what_the_contract_takes_the_exact_schema_takes_and_no_other_model_s_does(request: Body) -> None:
    assert list(EXACT[request["model"]].iter_errors(request)) == []
    assert not any(exact.is_valid(request) for model, exact in EXACT.items() if model != request["model"])


@pytest.mark.parametrize("model", MODELS)
def test_each_odd_value_in_each_field_is_judged_as_the_contract_judges_it(model: str) -> None:
    for name in (*TAKES[model], "zork"):
        for value in ODD:
            request = BASIC[model] | {name: value}
            if not only_a_look_tells(request):
                assert EXACT[model].is_valid(request) is takes(request), request


@steady
@given(requests, requests, st.data())
def test_a_request_that_was_tampered_with_is_judged_as_the_contract_judges_it(
    request: Body, other: Body, data: st.DataObject
) -> None:
    """Fields of another request mixed in, fields lost, one value changed: enumerations, ranges, required, rules."""
    mixed = data.draw(st.sets(st.sampled_from(sorted(other.keys() - {"model"}))))
    tampered = request | {name: other[name] for name in mixed}
    lost = data.draw(st.sets(st.sampled_from(sorted(tampered.keys() - {"model"})), max_size=2))
    tampered = {name: value for name, value in tampered.items() if name not in lost}
    if data.draw(st.booleans()):
        tampered[data.draw(st.sampled_from((*TAKES[request["model"]], "zork")))] = data.draw(st.sampled_from(ODD))
    if not only_a_look_tells(tampered):
        assert EXACT[request["model"]].is_valid(tampered) is takes(tampered)


@steady
@given(st.data())
def test_any_choice_of_a_model_s_fields_is_judged_as_the_contract_judges_it(data: st.DataObject) -> None:
    """Every combination of present fields, each with a good value: required fields and rules alone decide."""
    model = data.draw(st.sampled_from(sorted(MODELS)))
    good: Body = {"prompt": "a", "prompts": ["a"], "promptExtend": True, "aspectRatio": "16:9", "duration": 5}
    good |= {"resolution": "720p", "tier": "base"}
    link = "https://example.com/a"
    good |= {name: [link] if name in ("images", "referenceImages", "referenceAudio") else link for name in MEDIA}
    chosen = data.draw(st.sets(st.sampled_from(TAKES[model])))
    request = {"model": model} | {name: good[name] for name in chosen}
    assert EXACT[model].is_valid(request) is takes(request)


@pytest.mark.parametrize("model", MODELS)
def test_each_rule_and_each_field_is_also_told_in_words(model: str) -> None:
    schema = EXACT[model].schema
    assert [rule["description"] for rule in schema.get("allOf", [])] == [rule.text for rule in MODELS[model].rules]
    assert all(field["description"] for name, field in schema["properties"].items() if name != "model")
