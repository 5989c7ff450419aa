"""The file beside a hub that tells where it is served."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from dfnb import side_file
from dfnb.side_file import ServerFacts

FACTS = ServerFacts(url="http://127.0.0.1:7071", key="k3y", pid=123, serving=True, settings={"port": 7071})
needs_posix = pytest.mark.skipif(os.name != "posix", reason="this platform has no file modes")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub.duckdb"


def test_what_was_written_is_read(hub: Path) -> None:
    side_file.write(hub, FACTS)
    assert side_file.read(hub) == FACTS
    assert [path.name for path in hub.parent.iterdir()] == ["hub.duckdb.server"]


def test_what_was_there_before_is_replaced(hub: Path) -> None:
    side_file.write(hub, FACTS)
    side_file.write(hub, ServerFacts(url="http://127.0.0.1:1"))
    assert side_file.read(hub) == ServerFacts(url="http://127.0.0.1:1")


def test_without_a_file_there_are_no_facts(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    side_file.forget(hub)
    assert side_file.read(hub) is None
    assert caplog.records == []


@needs_posix
def test_nobody_else_may_read_it_whatever_the_umask_is(hub: Path) -> None:
    before = os.umask(0)
    try:
        side_file.write(hub, FACTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(side_file.path_for(hub).stat().st_mode) == 0o600


def test_it_is_private_before_the_key_is_in_it(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    opened = os.open

    def watch(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        modes.append((mode, bool(flags & os.O_EXCL)))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", watch)
    side_file.write(hub, FACTS)
    assert modes == [(0o600, True)]


def test_the_facts_do_not_show_the_key() -> None:
    assert "k3y" not in repr(FACTS)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"url": 1}', b'{"serving": true}', b'{"url": "\xff"}', b"a" * 70_000],
    ids=["nothing", "half", "a list", "a number as url", "no url", "not UTF-8", "far too long"],
)  # fmt: skip
def test_a_damaged_file_is_told_to_the_log_and_left_out_of_account(
    hub: Path, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    side_file.path_for(hub).write_bytes(text)
    with caplog.at_level(logging.WARNING):
        assert side_file.read(hub) is None
    assert "hub.duckdb.server was left out of account" in caplog.text


@needs_posix
def test_a_link_is_not_followed(hub: Path) -> None:
    other = hub.with_name("other.json")
    side_file.write(hub, FACTS)
    side_file.path_for(hub).rename(other)
    side_file.path_for(hub).symlink_to(other)
    assert side_file.read(hub) is None


@needs_posix
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_left_out_of_account(hub: Path, kind: str) -> None:
    os.mkfifo(side_file.path_for(hub)) if kind == "pipe" else side_file.path_for(hub).mkdir()
    assert side_file.read(hub) is None


@needs_posix
def test_a_file_of_another_user_is_left_out_of_account(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side_file.write(hub, FACTS)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert side_file.read(hub) is None


@needs_posix
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_left_out_of_account(hub: Path, mode: int) -> None:
    hub.touch(0o600)
    side_file.write(hub, FACTS)
    side_file.path_for(hub).chmod(mode)
    assert side_file.read(hub) is None


@needs_posix
def test_where_files_have_no_modes_of_their_own_it_is_read(hub: Path) -> None:
    side_file.write(hub, FACTS)
    for path in (hub, side_file.path_for(hub)):
        path.touch()
        path.chmod(0o777)
    assert side_file.read(hub) == FACTS


def test_facts_are_vouched_for_as_they_were_written(hub: Path) -> None:
    side_file.write(hub, side_file.signed(FACTS, hub, b"key"))
    facts = side_file.read(hub)
    assert facts is not None
    assert side_file.is_vouched_for(facts, hub, b"key")
    assert not side_file.is_vouched_for(facts, hub, b"another key")
    assert not side_file.is_vouched_for(FACTS, hub, b"key")


CHANGES = [{"url": "http://127.0.0.1:1"}, {"serving": False}, {"settings": {"host": "::"}}, {"key": None}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changed_facts_are_not_vouched_for(hub: Path, change: dict[str, Any]) -> None:
    assert not side_file.is_vouched_for(dataclasses.replace(side_file.signed(FACTS, hub, b"key"), **change), hub, b"key")


def test_facts_are_vouched_for_at_one_path_of_one_user_of_one_machine(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = side_file.signed(FACTS, hub, b"key")
    assert not side_file.is_vouched_for(facts, hub.with_name("moved.duckdb"), b"key")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "another machine")
        assert not side_file.is_vouched_for(facts, hub, b"key")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "getuid", lambda: -1, raising=False)
        assert not side_file.is_vouched_for(facts, hub, b"key")
    assert side_file.is_vouched_for(facts, hub, b"key")


def test_what_cannot_be_written_leaves_nothing_behind(hub: Path) -> None:
    side_file.path_for(hub).mkdir()
    with pytest.raises(OSError):
        side_file.write(hub, FACTS)
    assert [path.name for path in hub.parent.iterdir()] == ["hub.duckdb.server"]


def test_the_address_counts_only_for_the_owner_that_wrote_it(hub: Path) -> None:
    assert side_file.serving_address(hub, 123) is None
    side_file.write(hub, FACTS)
    assert side_file.serving_address(hub, 123) == FACTS.url
    assert side_file.serving_address(hub, None) == FACTS.url
    assert side_file.serving_address(hub, 124) is None
    side_file.write(hub, ServerFacts(url=FACTS.url, pid=123))
    assert side_file.serving_address(hub, 123) is None
