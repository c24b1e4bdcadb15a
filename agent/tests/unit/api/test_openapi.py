# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docs/openapi.yaml says what the route table says, and nothing else."""

from __future__ import annotations

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from plugind.api import routes, status
from plugind.api.access import Access
from plugind.model import outcome
from support import openapi

DOCUMENT = openapi.load()
OPERATIONS = openapi.operations(DOCUMENT)
ROUTES = {(method, path): (access, gone) for method, path, access, gone, _ in routes.ROUTES}
#: What a component's name means, by the categories of errors.
ANSWERS = {
    "Invalid": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "Failed": 500,
    "Unsupported": 501,
    "Unavailable": 503,
}


def test_the_document_is_valid():
    found = OpenAPIV31SpecValidator(DOCUMENT, base_uri=openapi.PATH.as_uri())
    assert [f"{list(e.absolute_path)}: {e.message}" for e in found.iter_errors()] == []


def test_every_route_is_documented_and_nothing_else():
    assert sorted(OPERATIONS) == sorted(ROUTES)


@pytest.mark.parametrize("key", sorted(ROUTES), ids=" ".join)
def test_who_may_call_and_what_becomes_of_it_without_its_client(key):
    access, gone = ROUTES[key]
    operation = OPERATIONS[key]
    assert operation["x-access"] == access.value
    assert operation["x-client-gone"] == gone.name.lower()


def test_every_operation_says_that_a_caller_may_be_refused():
    for key, operation in OPERATIONS.items():
        assert {"400", "403"} <= operation["responses"].keys(), key
        if ROUTES[key][0] is Access.WRITE:
            # An agent that is degraded refuses it.
            assert "503" in operation["responses"], key


def test_statuses_are_those_of_their_categories():
    assert set(ANSWERS.values()) == set(status.STATUS.values())
    for key, operation in OPERATIONS.items():
        for code, answer in operation["responses"].items():
            name = answer.get("$ref", "").rpartition("/")[2]
            assert ANSWERS.get(name, int(code)) == int(code), key


def test_errors_have_a_message_and_nothing_else():
    schema = {"$ref": "#/components/schemas/Error"}
    for name in ANSWERS:
        media = DOCUMENT["components"]["responses"][name]["content"]["application/json"]
        assert media["schema"] == schema
    assert openapi.validator(DOCUMENT, schema).is_valid({"message": "x"})
    assert not openapi.validator(DOCUMENT, schema).is_valid({"message": "x", "code": 1})


@pytest.mark.parametrize(
    "where_and_media", list(openapi.media_types(DOCUMENT)), ids=lambda found: found[0]
)
def test_examples_are_what_their_schemas_say(where_and_media):
    _, media = where_and_media
    schema = media.get("schema", media.get("x-item-schema"))
    check = openapi.validator(DOCUMENT, schema)
    given = list(openapi.examples(DOCUMENT, media))
    assert given
    for example in given:
        assert [error.message for error in check.iter_errors(example)] == []


def test_the_declaration_is_the_planners_own():
    body = OPERATIONS["POST", "/plugind/apply"]["requestBody"]["content"]["application/json"]
    check = openapi.validator(DOCUMENT, body["schema"])
    assert not check.is_valid({"plugins": [{"name": "x", "state": "somehow"}]})


def test_the_result_has_what_the_planner_answers():
    result = outcome.Result(changed=True, failed=False, msg="", engine="")
    step = outcome.Outcome(resource="", action="", status="done", description="")
    schema = DOCUMENT["components"]["schemas"]["Result"]
    assert sorted(schema["properties"]) == sorted(result.to_json())
    assert sorted(schema["required"]) == sorted(result.to_json())
    shown = schema["properties"]["steps"]["items"]["properties"]
    assert sorted(shown) == sorted(step.to_json())
