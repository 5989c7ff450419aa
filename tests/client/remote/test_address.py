"""What one may give as an address."""

from __future__ import annotations

import pytest

from dfnb.client.remote.address import Address, is_url, read_address

BASE = "/runtime/webhooks/durabletask"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://127.0.0.1:7071", Address(f"http://127.0.0.1:7071{BASE}")),
        ("http://127.0.0.1:7071/", Address(f"http://127.0.0.1:7071{BASE}")),
        ("localhost:7071", Address(f"http://localhost:7071{BASE}")),
        ("https://app.example/user/a/proxy/7071/", Address(f"https://app.example/user/a/proxy/7071{BASE}")),
        (f"https://app.example{BASE}?code=k%2B%3D", Address(f"https://app.example{BASE}", "k+=")),
        (f"https://app.example{BASE}/instances/a%20b/raiseEvent/{{eventName}}?taskHub=H&connection=S&code=k",
         Address(f"https://app.example{BASE}", "k", (("taskHub", "H"), ("connection", "S")), "a b")),
        (f"https://app.example{BASE.upper()}/Instances?code=", Address(f"https://app.example{BASE.upper()}")),
        ("http://[::1]:80/admin/extensions/DurableTaskExtension/instances",
         Address("http://[::1]:80/admin/extensions/DurableTaskExtension")),
        ("http://127.0.0.1:17071/durabletask/", Address("http://127.0.0.1:17071/durabletask")),
    ],
    ids=["site", "slash", "no scheme", "behind a proxy", "base", "link", "letter case", "old base", "local door"],
)  # fmt: skip
def test_any_url_of_the_api_names_its_base(given: str, wanted: Address) -> None:
    assert read_address(given) == wanted


@pytest.mark.parametrize("given", ["ftp://x", "http://", "http://x:port", "http://[bad", "", "https:///path"])
def test_what_is_no_address_is_refused_in_a_sentence(given: str) -> None:
    with pytest.raises(ValueError, match="the address of a hub is a URL"):
        read_address(given)


def test_a_login_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="leave name and password out") as caught:
        read_address("http://me:secret@x")
    assert "secret" not in str(caught.value)


def test_the_key_given_goes_before_that_in_the_url_and_is_not_shown() -> None:
    address = read_address("http://x?code=old", "new")
    assert (address.key, "new" in repr(address), address.shown) == ("new", False, "http://x")


def test_a_key_that_fits_no_header_is_refused() -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        read_address("http://x", "a\nb")


@pytest.mark.parametrize(("text", "wanted"), [("http://x", True), ("127.0.0.1:7071", True), ("trip.duckdb", False), ("a/b", False)])
def test_a_path_is_told_from_a_url(text: str, wanted: bool) -> None:
    assert is_url(text) is wanted
