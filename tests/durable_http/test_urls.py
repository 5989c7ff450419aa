from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http import urls
from dfnb.durable_http.secrets import Secret


@pytest.mark.parametrize(
    ("base", "reference", "url"),
    [
        ("https://a.example/jobs?x=1", "https://a.example/s/1", "https://a.example/s/1"),
        ("https://a.example/jobs/1", "/s/1?y=2", "https://a.example/s/1?y=2"),
        ("https://a.example/jobs/1", "2", "https://a.example/jobs/2"),
        ("https://a.example/jobs/1", "?page=2", "https://a.example/jobs/1?page=2"),
        ("https://a.example/jobs", "//b.example/s", "https://b.example/s"),
        ("https://a.example/jobs", "  https://b.example/s#part ", "https://b.example/s"),
        ("http://a.example/", "https://a.example/s", "https://a.example/s"),
        ("https://me:pw@a.example/", "/s", "https://me:pw@a.example/s"),
        ("https://a.example/", "https://x:y@a.example/s", "https://a.example/s"),
    ],
)
def test_where_a_reference_leads(base: str, reference: str, url: str) -> None:
    assert urls.follow(base, reference) == (url, "")


@pytest.mark.parametrize(
    ("base", "reference", "why"),
    [
        ("https://a.example/", "http://a.example/s", "step down"),
        ("https://a.example/", "file:///etc/passwd", "only http and https"),
        ("https://a.example/", "javascript:alert(1)", "only http and https"),
        ("https://a.example/", "gopher://a.example/", "only http and https"),
        ("https://a.example/", "", "empty"),
        ("https://a.example/", "https://good.example\\@evil.example/", "no valid URL"),
        ("https://a.example/", "https://a.example/\r\nX: y", "no valid URL"),
        ("https://a.example/", "https://[::1", "no valid URL"),
        ("https://a.example/", "https://a.example:99999/", "no host"),
        ("https://a.example/", "https://a.example/\ud800", "no valid URL"),
    ],
)
def test_what_is_not_followed_gets_a_sentence(base: str, reference: str, why: str) -> None:
    target = urls.follow(base, reference)
    assert target.url is None
    assert why in target.refusal


def test_an_origin_is_scheme_host_and_port() -> None:
    assert urls.origin("HTTPS://A.Example/x") == urls.origin("https://a.example:443/y") == "https://a.example:443"
    different = ["http://a.example", "https://b.example", "https://a.example:444"]
    assert len({urls.origin(url) for url in ["https://a.example", *different]}) == 4
    assert [urls.origin(url) for url in ("ftp://a", "/x", "https://", "http://[", "")] == [None] * 5


def test_a_path_is_added_before_the_query() -> None:
    assert urls.below("https://a/jobs/1?v=2", "/cancel") == "https://a/jobs/1/cancel?v=2"
    assert urls.below("https://a/jobs/1?v=2", ":cancel") == "https://a/jobs/1:cancel?v=2"
    assert urls.below("https://a/jobs/", "/1?w=3") == "https://a/jobs/1?w=3"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://h/v1/projects/p:do?x", "https://h/v1"),
        ("https://h/compute/v1/projects", "https://h/compute/v1"),
        ("https://h/v1beta2/a", "https://h/v1beta2"),
        ("https://h/videos/v", "https://h/v1"),
    ],
)
def test_the_root_of_an_api_ends_with_its_version(url: str, root: str) -> None:
    assert urls.api_root(url) == root


def test_values_of_a_server_cannot_climb_out_of_a_path() -> None:
    assert urls.as_path("projects/p/operations/1") == "projects/p/operations/1"
    assert urls.as_path("a b?c#d") == "a%20b%3Fc%23d"
    assert [urls.as_path(value) for value in ("../admin", "a/../b", "", "/", "a//b", "\ud800")] == [None] * 6


def test_a_poll_leaves_behind_what_belongs_to_the_first_request() -> None:
    headers = (("Authorization", "t"), ("Accept", "a"), ("Content-Type", "c"), ("If-Match", "e"), ("x-functions-key", "k"))
    assert urls.headers_along(headers, trusted=True, with_body=False) == (("Authorization", "t"), ("Accept", "a"))
    assert urls.headers_along(headers, trusted=True, with_body=True) == headers
    assert urls.headers_along(headers, trusted=False, with_body=True) == (("Accept", "a"),)


def test_a_secret_does_not_leave_home_under_a_safe_name() -> None:
    headers = (("Accept", "a"), ("User-Agent", Secret.env("AGENT_KEY").marker))
    assert urls.headers_along(headers, trusted=True, with_body=False) == headers
    assert urls.headers_along(headers, trusted=False, with_body=False) == (("Accept", "a"),)


@given(st.text(max_size=60), st.sampled_from(["https://a.example/x?y=1", "http://b.example:8080"]))
def test_whatever_a_server_says_leads_to_http_or_nowhere(reference: str, base: str) -> None:
    target = urls.follow(base, reference)
    assert (target.url is None) == bool(target.refusal)
    if target.url is not None:
        assert urls.origin(target.url) is not None
        assert not (base.startswith("https") and target.url.startswith("http:"))
        assert urls.follow(target.url, target.url).url == target.url
