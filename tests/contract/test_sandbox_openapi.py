"""The sandbox keeps to its OpenAPI description, and the description is a valid one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from reconciler.model import Secret
from reconciler.sandbox import zof_requests
from reconciler.sandbox.zof_server import ZofServer
from tests.fixtures.examples import examples
from tests.fixtures.zof import UNLIMITED

pytest_plugins = ["schemathesis.pytest.plugin"]  # pyproject.toml keeps it out of the other tests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import AuthContext, Case

DESCRIPTION = Path(__file__).parents[2] / "schemas" / "zof-webhooks.openapi.yaml"
_KEY = Secret("zof_sandbox_contract")
api = schemathesis.openapi.from_path(DESCRIPTION)


@api.auth()
class _Authorization:
    """Puts the key in, except where a case leaves it out on purpose."""

    def get(self, case: Case[Any], context: AuthContext) -> str:
        return _KEY.reveal()

    def set(self, case: Case[Any], data: str, context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


_BOUNDED = settings(
    examples(25),
    # Some generated parts are rare by their nature; the server itself is shared on purpose.
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server() -> Iterator[ZofServer]:
    """One server for the whole module: what examples leave behind makes the next ones harder."""
    with ZofServer(UNLIMITED, key=_KEY) as running:
        yield running


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    loaded = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@api.parametrize()
@_BOUNDED
def test_every_answer_is_as_described(case: Case[Any], server: ZofServer) -> None:
    """Right and wrong requests get the statuses, headers and bodies of the description, never a 500."""
    case.call_and_validate(base_url=server.url)


def test_sequences_of_operations_are_as_described(server: ZofServer) -> None:
    """An endpoint can be tested and deleted once it was created, and is unknown after its deletion."""

    class Sequences(api.as_state_machine()):  # type: ignore[misc]  # the class is made from the description
        def before_call(self, case: Case[Any]) -> None:
            # A repeated key gets its original result, even of an endpoint that was deleted since.
            case.headers.pop("Idempotency-Key", None)

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {"base_url": server.url}

    run_state_machine_as_test(Sequences, settings=settings(_BOUNDED, max_examples=12, stateful_step_count=6))
    answered = {(entry.method, entry.path.endswith("/test"), entry.status) for entry in server.requests}
    assert {("POST", True, 200), ("DELETE", False, 204)} <= answered


def test_the_description_is_valid() -> None:
    """The document satisfies the meta-schema of OpenAPI 3.1."""
    api.validate()


def test_an_invalid_description_is_noticed(description: dict[str, Any]) -> None:
    """The check above is a real one: a document without a title fails it."""
    broken = {**description, "info": {"version": "1"}}
    with pytest.raises(jsonschema_rs.ValidationError, match="title"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    """No `$ref` is dangling, and no component is left over."""
    references = set(_references(description))
    for reference in references:
        target: Any = description
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in description["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert components == references


def test_every_schema_is_a_schema(description: dict[str, Any]) -> None:
    """Each component schema is valid JSON Schema 2020-12, the dialect of OpenAPI 3.1."""
    for schema in description["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": description["components"]})


@pytest.mark.parametrize("name", ["EndpointDraft", "EndpointPage"])
def test_examples_satisfy_their_schema(description: dict[str, Any], name: str) -> None:
    """An example that a reader copies is accepted."""
    reference = {"$ref": f"#/components/schemas/{name}"}
    validator = jsonschema_rs.Draft202012Validator({**reference, "components": description["components"]})
    found = [
        example["value"]
        for media in _media_types(description["paths"])
        if media["schema"] == reference
        for example in media["examples"].values()
    ]
    assert found
    for example in found:
        validator.validate(example)


def test_limits_are_the_server_s(description: dict[str, Any]) -> None:
    """Patterns, bounds and event types in the description are those that the server checks."""
    schemas = description["components"]["schemas"]
    draft = schemas["EndpointDraft"]["properties"]
    listing = description["paths"]["/webhooks"]["get"]["parameters"]
    creation = description["paths"]["/webhooks"]["post"]["parameters"]
    limit = listing[0]["schema"]
    assert schemas["Url"]["pattern"] == zof_requests.URL_PATTERN
    assert schemas["Url"]["maxLength"] == zof_requests.URL_MAX
    assert tuple(schemas["EventType"]["enum"]) == zof_requests.EVENT_TYPES
    assert (draft["secret"]["minLength"], draft["secret"]["maxLength"]) == (
        zof_requests.SECRET_MIN,
        zof_requests.SECRET_MAX,
    )
    assert (limit["default"], limit["maximum"]) == (zof_requests.PAGE_DEFAULT, zof_requests.PAGE_MAX)
    assert listing[1]["schema"]["pattern"] == zof_requests.CURSOR_PATTERN
    assert creation[0]["schema"]["pattern"] == zof_requests.IDEMPOTENCY_KEY_PATTERN


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _media_types(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "schema" in value and "examples" in value:
            yield value
        for part in value.values():
            yield from _media_types(part)
