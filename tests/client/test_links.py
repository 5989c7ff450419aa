"""Links and the codes in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dfnb.client.links import VERBS, Links, Scope, read_code, scoped_code

KEY = b"k" * 32
NOW = 1_767_262_830_000_000
SCOPES = st.builds(
    Scope,
    st.frozensets(st.sampled_from(sorted(VERBS)), min_size=1),
    st.none() | st.integers(1, 1 << 42).map(lambda seconds: seconds * 1_000_000),
)


@given(st.binary(min_size=16), st.text(min_size=1), SCOPES)
def test_a_code_reads_as_what_it_was_made_for(key: bytes, id: str, scope: Scope) -> None:
    code = scoped_code(key, id, scope)
    assert read_code(key, id, code) == scope
    assert code.isascii()
    assert not set(code) & set("&=?#%+/ ")


@given(SCOPES, st.data())
def test_a_code_with_any_character_changed_opens_nothing(scope: Scope, data: st.DataObject) -> None:
    code = scoped_code(KEY, "x", scope)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.characters())
    assume(other != code[place])
    assert read_code(KEY, "x", code[:place] + other + code[place + 1 :]) is None
    assert read_code(KEY, "x", code[:place]) is None
    assert read_code(KEY, "x", code[:place] + code[place + 1 :]) is None or code[place] == code[place + 1 : place + 2]


@given(SCOPES, st.text(), st.binary())
def test_a_code_opens_one_instance_of_one_hub(scope: Scope, id: str, key: bytes) -> None:
    code = scoped_code(KEY, "x", scope)
    assume(id != "x" and key != KEY)
    assert read_code(KEY, id, code) is None
    assert read_code(key, "x", code) is None


@given(st.text())
def test_no_text_is_too_strange_for_a_code(text: str) -> None:
    assert read_code(KEY, "x", text) is None


def test_an_end_of_time_in_the_first_second_is_not_for_ever() -> None:
    found = read_code(KEY, "x", scoped_code(KEY, "x", Scope(frozenset({"status"}), 5)))
    assert found is not None
    assert found.expires_at is not None


@pytest.fixture
def links() -> Links:
    return Links(lambda: "http://h:1", lambda id, scope: scoped_code(KEY, id, scope), lambda: NOW)


def test_the_links_of_an_instance_have_the_original_s_names_order_and_shapes(links: Links) -> None:
    made = links.management("a b/é@:")
    base = "http://h:1/runtime/webhooks/durabletask/instances/a%20b%2F%C3%A9@:"
    q = f"taskHub=dfnb&connection=Storage&code={scoped_code(KEY, 'a b/é@:', Scope(frozenset(VERBS)))}"
    assert list(made.items()) == [
        ("id", "a b/é@:"),
        ("statusQueryGetUri", f"{base}?{q}"),
        ("sendEventPostUri", f"{base}/raiseEvent/{{eventName}}?{q}"),
        ("terminatePostUri", f"{base}/terminate?reason={{text}}&{q}"),
        ("rewindPostUri", f"{base}/rewind?reason={{text}}&{q}"),
        ("purgeHistoryDeleteUri", f"{base}?{q}"),
        ("restartPostUri", f"{base}/restart?{q}"),
        ("suspendPostUri", f"{base}/suspend?reason={{text}}&{q}"),
        ("resumePostUri", f"{base}/resume?reason={{text}}&{q}"),
    ]


def test_chosen_verbs_are_all_there_is(links: Links) -> None:
    made = links.management("x", verbs=["status", "raiseEvent"], expires_in=timedelta(minutes=5), origin="https://o")
    assert list(made) == ["id", "statusQueryGetUri", "sendEventPostUri"]
    assert made["statusQueryGetUri"].startswith("https://o/runtime/")
    found = read_code(KEY, "x", made["statusQueryGetUri"].partition("code=")[2])
    assert found == Scope(frozenset({"status", "raiseEvent"}), NOW + 300_000_000)
    assert list(links.management("x", verbs="status")) == ["id", "statusQueryGetUri"]


@pytest.mark.parametrize(
    "wrong", [{"verbs": ["stop"]}, {"verbs": []}, {"expires_in": timedelta(0)}, {"expires_in": timedelta(seconds=-1)}], ids=range(4)
)
def test_limits_that_mean_nothing_are_refused(links: Links, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"verbs takes some of status, raiseEvent|expires_in must be longer"):
        links.management("x", **wrong)


def test_without_a_key_links_have_no_code() -> None:
    made = Links(lambda: "http://h:1", lambda id, scope: None, lambda: NOW, "My Hub", "A&B").management("x")
    assert made["statusQueryGetUri"].endswith("/instances/x?taskHub=My%20Hub&connection=A%26B")


def test_links_that_start_instances(links: Links) -> None:
    base = "http://h:1/runtime/webhooks/durabletask/orchestrators/{functionName}[/{instanceId}]"
    wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
    assert links.creation("k=") == {
        "createNewInstancePostUri": f"{base}?code=k%3D",
        "createAndWaitOnNewInstancePostUri": f"{base}?{wait}&code=k%3D",
    }
    assert links.creation(None) == {"createNewInstancePostUri": base, "createAndWaitOnNewInstancePostUri": f"{base}?{wait}"}
