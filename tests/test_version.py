"""Which version this is, where it is installed and where it is not."""

from __future__ import annotations

import importlib.metadata

import pytest

from dfnb.version import package_version


def test_it_is_that_of_the_package_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"version of {name}")
    assert package_version() == "version of dfnb"
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert package_version() == ""
