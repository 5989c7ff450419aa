"""Who may ask for what: hosts, origins, keys, codes; and how much of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.client import links
from dfnb.client.links import BASE_PATH, VERBS
from dfnb.server import guard
from dfnb.server.guard import host_name, is_json, nesting, place_of

# hosts


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:7071", "127.0.0.1"),
        ("LocalHost:80", "localhost"),
        ("[::1]:7071", "::1"),
        ("[::1]", "::1"),
        ("127.0.0.1.evil.com", "127.0.0.1.evil.com"),
        ("localhost@evil.com", ""),
        ("evil.com/localhost", ""),
        ("localhost?x", ""),
        ("localhost#x", ""),
        ("localhost:80:80", ""),
        ("localhost:", ""),
        ("localhost:x", ""),
        ("", ""),
        (" localhost", ""),
        ("localhost, evil.com", ""),
        ("local\thost", ""),
        ("[::1", ""),
        ("localhost\\@evil", ""),
        ("lócalhost", ""),
        ("localhost:" + "1" * 9, ""),
    ],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert host_name(host) == name


@given(st.text())
def test_no_host_is_too_strange(host: str) -> None:
    assert host_name(host) == host_name(host).lower()
    place_of(host)


# keys


def test_without_a_key_nothing_is_told(server: Any) -> None:
    server.bring("Running", "x")
    for method, path in [("GET", "/instances"), ("GET", "/instances/x"), ("POST", "/orchestrators/echo"), ("GET", "/nothing")]:
        for key in (
            False,
            "wrong",
            "é",
            server.keys.system[:-1],
            server.keys.system + "A",
            server.keys.function,
            " " + server.keys.system,
        ):
            answer = server.ask(method, path, key=key)
            assert (answer.status, answer.body) == (404 if path == "/nothing" else 401, b"")


def test_the_key_may_be_in_the_query_or_in_a_header_and_the_header_wins(server: Any) -> None:
    key = server.keys.system
    assert server.ask("GET", f"/instances?code={key}", key=False).status == 200
    assert server.ask("GET", f"/instances?CODE={key}", key=False).status == 200
    assert server.ask("GET", "/instances?code=wrong").status == 200
    assert server.ask("GET", f"/instances?code={key}", key=server.keys.function).status == 401
    assert server.ask("GET", f"/instances?code={key}&code={key}", key=False).status == 401


def test_a_server_may_do_without_a_key_on_loopback(serve: Callable[..., Any]) -> None:
    server = serve(require_key=False)
    answer = server.ask("POST", "/orchestrators/echo/x", key=False)
    assert answer.status == 202
    assert "code=" not in answer.body.decode()


def test_keys_are_compared_in_constant_time() -> None:
    assert "hmac.compare_digest" in inspect.getsource(guard._same)
    assert "hmac.compare_digest" in inspect.getsource(links.read_code)
    assert inspect.getsource(guard).count("== self._keys") == 0


def test_rotating_the_keys_closes_everything_handed_out(server: Any) -> None:
    server.bring("Running", "x")
    old, link = server.keys.system, server.app.links.management("x")["statusQueryGetUri"].partition(BASE_PATH)[2]
    assert server.ask("GET", link, key=False).status == 202
    server.keys.rotate()
    assert server.ask("GET", link, key=False).status == 401
    assert server.ask("GET", "/instances", key=old).status == 401
    assert server.ask("GET", "/instances").status == 200


# links that open one instance


def link(server: Any, verb: str, *, of: str = "x", **limits: Any) -> str:
    name = {
        "status": "statusQueryGetUri", "raiseEvent": "sendEventPostUri", "terminate": "terminatePostUri", "rewind": "rewindPostUri",
        "purge": "purgeHistoryDeleteUri", "restart": "restartPostUri", "suspend": "suspendPostUri", "resume": "resumePostUri",
    }[verb]  # fmt: skip
    whole: str = server.app.links.management(of, **limits)[name]
    return whole.partition(BASE_PATH)[2].replace("{eventName}", "on").replace("{text}", "why")


METHODS = {"status": "GET", "purge": "DELETE"}


def test_a_link_does_what_it_says_and_nothing_else(server: Any) -> None:
    server.bring("Suspended", "x")
    code = {verb: link(server, verb, verbs=[verb]).partition("code=")[2] for verb in VERBS}
    for mine in VERBS:
        for verb in VERBS:
            path = link(server, verb, verbs=[verb]).partition("code=")[0] + f"code={code[mine]}"
            if mine != verb:
                answer = server.ask(METHODS.get(verb, "POST"), path, key=False, json=1)
                assert (mine, verb, answer.status) == (mine, verb, 403)
                assert answer.json() == {"Message": f"this link may not {verb}"}
    assert server.client.status("x").runtime_status.value == "Suspended"
    codes = {
        "status": 202,
        "raiseEvent": 202,
        "terminate": 202,
        "rewind": 409,
        "purge": 409,
        "restart": 202,
        "suspend": 409,
        "resume": 202,
    }
    for verb in ("status", "raiseEvent", "rewind", "purge", "restart", "suspend", "resume", "terminate"):
        answer = server.ask(METHODS.get(verb, "POST"), link(server, verb, verbs=[verb]), key=False, json=1)
        assert (verb, answer.status) == (verb, codes[verb])


def test_a_link_opens_no_other_instance_no_list_and_no_start(server: Any) -> None:
    server.bring("Running", "x")
    server.bring("Running", "y")
    code = link(server, "status").partition("code=")[2]
    for method, path in [
        ("GET", "/instances/y"),
        ("GET", "/instances/X"),
        ("GET", "/instances"),
        ("POST", "/orchestrators/echo"),
        ("POST", "/orchestrators/echo/x"),
        ("DELETE", "/instances?createdTimeFrom=2020-01-01"),
        ("GET", "/entities"),
        ("POST", "/entities/store/x"),
        ("GET", "/instances/x/events"),
        ("GET", "/instances/x/record"),
        ("GET", "/instances/x/source"),
        ("GET", "/changes"),
    ]:
        answer = server.ask(method, f"{path}{'&' if '?' in path else '?'}code={code}", key=False)
        assert (path, answer.status, answer.body) == (path, 401, b"")


def test_a_link_ends_when_its_time_has_come(server: Any) -> None:
    server.bring("Running", "x")
    path = link(server, "status", expires_in=timedelta(minutes=1))
    assert server.ask("GET", path, key=False).status == 202
    server.clock.advance(61)
    answer = server.ask("GET", path, key=False)
    assert (answer.status, answer.json()) == (401, {"Message": "this link has expired"})


def test_links_last_as_long_as_the_settings_say(serve: Callable[..., Any]) -> None:
    server = serve(link_lifetime=timedelta(hours=1))
    answer = server.ask("POST", "/orchestrators/waits/x")
    path = answer.json()["statusQueryGetUri"].partition(BASE_PATH)[2]
    assert server.ask("GET", path, key=False).status == 202
    server.clock.advance(3601)
    assert server.ask("GET", path, key=False).status == 401


def test_a_tampered_link_opens_nothing(server: Any) -> None:
    server.bring("Running", "x")
    path, _, code = link(server, "status", verbs=["status", "purge"], expires_in=timedelta(minutes=1)).partition("code=")
    version, letters, expiry, signature = code.split(".")
    assert letters == "pq"
    for forged in (
        f"{version}.qp.{expiry}.{signature}",
        f"{version}.pqt.{expiry}.{signature}",
        f"{version}.q.{expiry}.{signature}",
        f"{version}..{expiry}.{signature}",
        f"{version}.{letters}.0.{signature}",
        f"{version}.{letters}.{expiry}0.{signature}",
        f"{version}.{letters}.-1.{signature}",
        f"{version}.{letters}.0{expiry}.{signature}",
        f"{version}.{letters}.{expiry}.{signature[:-1]}",
        f"{version}.{letters}.{expiry}.{signature}A",
        f"{version}.{letters}.{expiry}.{signature}=",
        f"{version}.{letters}.{expiry}.",
        f"{version}.{letters}.{expiry}",
        "",
        "....",
        f"L2{code[2:]}",
        f"{code}.",
        code.swapcase(),
        f"{version}.%C3%A9.{expiry}.{signature}",
        f"{version}.{letters}.{expiry}.{'%F0%9F%98%80'}",
    ):
        assert (forged, server.ask("GET", f"{path}code={forged}", key=False).status) == (forged, 401)
    assert server.ask("GET", f"{path}code={code}", key=False).status == 202


def test_a_wrong_key_in_the_header_wins_over_a_good_link(server: Any) -> None:
    server.bring("Running", "x")
    assert server.ask("GET", link(server, "status"), key="wrong").status == 401


def test_a_restart_by_a_link_gives_links_with_the_same_limits(serve: Callable[..., Any]) -> None:
    for server in (serve(), serve(links="key")):
        server.bring("Completed", "x")
        answer = server.ask("POST", link(server, "restart", verbs=["restart", "purge"], expires_in=timedelta(hours=1)), key=False)
        assert answer.status == 202
        assert list(answer.json()) == ["id", "purgeHistoryDeleteUri", "restartPostUri"]
        assert "location" not in answer.headers
        fresh, code = answer.json()["id"], answer.json()["restartPostUri"].partition("code=")[2]
        found = links.read_code(server.keys.links, fresh, code)
        assert found is not None
        assert found.verbs == {"restart", "purge"}
        assert found.expires_at == 1_767_262_830_000_000 + 3_600_000_000


def test_links_may_carry_the_key_but_never_for_one_who_came_with_less(serve: Callable[..., Any]) -> None:
    server = serve(links="key")
    started = server.ask("POST", "/orchestrators/echo/x", json=1)
    assert f"code={server.keys.system}" in started.json()["statusQueryGetUri"]
    server.reach("x", "Completed")
    scoped = links.scoped_code(server.keys.links, "x", links.Scope(frozenset(VERBS)))
    answer = server.ask("POST", f"/instances/x/restart?code={scoped}", key=False)
    assert answer.status == 202
    assert server.keys.system not in answer.body.decode() + str(answer.headers)
    assert server.keys.system not in server.app.links.management("x", verbs=["status"])["statusQueryGetUri"]


# origins


def origin(server: Any, value: str, method: str = "POST", **more: str) -> int:
    return int(server.ask(method, "/instances", headers={"origin": value, **more}).status)


def test_pages_of_other_origins_change_nothing(server: Any) -> None:
    for value in (
        "http://evil.com",
        "null",
        "",
        "http://127.0.0.1.evil.com:7071",
        "file://",
        "http://127.0.0.1:8888",
        "http://localhost:7071",
        "http://[",
    ):
        assert (value, origin(server, value)) == (value, 403)
        assert (value, origin(server, value, "DELETE")) == (value, 403)
    assert origin(server, "http://127.0.0.1:7071") == 404
    assert server.ask("POST", "/instances", headers={"sec-fetch-site": "cross-site"}).status == 403
    assert server.ask("POST", "/instances", headers={"sec-fetch-site": "same-origin"}).status == 404
    assert server.ask("POST", "/instances").status == 404


def test_reading_is_no_change(server: Any) -> None:
    answer = server.ask("GET", "/instances", headers={"origin": "http://evil.com"})
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_behind_the_public_address_are_one_s_own(serve: Callable[..., Any]) -> None:
    server = serve(public_url="https://hub.example.org/user/me/proxy/7071")
    assert origin(server, "https://hub.example.org") == 404
    assert origin(server, "https://hub.example.org.evil.com") == 403
    forwarded = serve(trust_forwarded=True)
    assert origin(forwarded, "https://hub.example.org", **{"x-forwarded-host": "hub.example.org"}) == 404
    assert origin(serve(), "https://hub.example.org", **{"x-forwarded-host": "hub.example.org"}) == 403


def test_named_origins_may_ask_and_are_told_so(serve: Callable[..., Any]) -> None:
    server = serve(cors_origins=("https://app.example.org",))
    preflight = {
        "origin": "https://app.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-functions-key",
    }
    answer = server.ask("OPTIONS", "/instances/x/terminate", headers=preflight, key=False)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example.org")
    assert origin(server, "https://app.example.org") == 404
    assert (
        server.ask("OPTIONS", "/instances/x/terminate", headers={**preflight, "origin": "https://evil.com"}, key=False).status
        == 400
    )
    assert origin(server, "https://evil.com") == 403
    assert origin(serve(cors_origins=("*",)), "https://evil.com") == 404


# bodies


@pytest.mark.parametrize(
    ("kind", "is_it"),
    [("application/json", True), (" Application/JSON ; charset=x", True), ("application/json+x", False), ("", False)],
)
def test_what_is_json_by_its_type(kind: str, is_it: bool) -> None:
    assert is_json(kind) is is_it


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[" * 9 + "]" * 9, 9),
        ('{"a":' * 9 + "1" + "}" * 9, 9),
        ('["' + "[" * 99 + '"]', 1),
        (r'["\"[[[[[", "\\", "[[[[["]', 1),
        (r'["\\\"[[[[["]', 1),
        ("[[],[],[],[],[[]]]", 3),
        ("]]]]]][[[[", 0),
        ("[" * 9, 9),
        ('["",[""],"[",["["]]', 2),
    ],
    ids=range(9),
)
def test_brackets_are_counted_outside_strings_only(text: str, depth: int) -> None:
    for enough in range(12):
        assert (nesting(text.encode(), enough) > enough) is (depth > enough)


STRINGS = st.text(alphabet='[]{}"\\a\n')
JSONS = st.recursive(
    st.none() | STRINGS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner), max_leaves=20
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(JSONS, st.booleans())
def test_the_depth_is_that_of_the_value(value: Any, blanks: bool) -> None:
    body = json.dumps(value, separators=(" , ", " : ") if blanks else (",", ":")).encode()
    for enough in range(depth_of(value) + 2):
        assert (nesting(body, enough) > enough) is (depth_of(value) > enough)


def test_depth_is_right_across_the_pieces_it_is_counted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps([['[["\\', {"}}": ["]]]"]}]] * 50).encode()
    whole = nesting(text, 20)
    assert whole == 4
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(guard, "_PIECE", size)
        assert nesting(text, 20) == whole
