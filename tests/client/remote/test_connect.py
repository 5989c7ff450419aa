"""What is told to whom when one connects by the path of a hub file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import httpx
import pytest

import dfnb
from dfnb import side_file
from dfnb.client.remote.connect import connect
from dfnb.errors import RemoteError


@pytest.fixture
def path(tmp_path: Path, registry: dfnb.Registry) -> Path:
    """A hub file whose server is gone, as after a crash: the file beside it says that it is served."""
    path = tmp_path / "trip.duckdb"
    with dfnb.DurableApp(path, registry=registry) as app:
        app.serve(port=0)
    facts = side_file.read(path)
    assert facts is not None
    assert facts.serving
    return path


@pytest.mark.parametrize("status", [200, 401, 404])
def test_who_has_taken_the_port_is_not_given_the_key(path: Path, status: int) -> None:
    seen: list[httpx.Request] = []

    def stranger(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, json=[])

    facts = side_file.read(path)
    assert facts is not None
    assert facts.key is not None
    for key in (None, "another-key"):
        with pytest.raises(RemoteError, match=r"was not given the key.*%dfnb serve"):
            connect(path, key, transport=httpx.MockTransport(stranger))
    told = "".join(f"{request.url}{request.headers}" for request in seen)
    assert seen
    assert facts.key not in told
    assert "another-key" not in told


def test_a_proof_cannot_be_passed_on_as_ones_own(path: Path, registry: dfnb.Registry) -> None:
    facts = side_file.read(path)
    assert facts is not None
    with dfnb.DurableApp(path, registry=registry) as app:
        server = app.serve(port=0)
        old = dataclasses.replace(facts, url="http://127.0.0.1:9")
        side_file.write(path, old)

        async def pass_on(request: httpx.Request) -> httpx.Response:
            async with httpx.AsyncClient() as client:
                return await client.get(server.url + request.url.raw_path.decode())

        with pytest.raises(RemoteError, match="was not given the key"):
            connect(path, transport=httpx.MockTransport(pass_on))


@pytest.mark.parametrize(("given", "says"), [
    ("", "an address such as http"), ("/", "an address such as http"), ("http://[bad", "the address of a hub is a URL"),
])
def test_what_is_neither_a_path_nor_an_address_is_refused_in_a_sentence(given: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        connect(given)


def test_a_name_without_a_scheme_is_taken_for_a_path_and_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"no hub file example.com; .* with http:// or https:// in front"):
        connect("example.com")
