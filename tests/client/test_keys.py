"""The keys that open a hub's server."""

from __future__ import annotations

import re
from pathlib import Path

import dfnb
from dfnb.client.keys import HubKeys


def keys_of(keys: HubKeys) -> tuple[str | bytes, ...]:
    return keys.system, keys.function, keys.links, keys.callbacks, keys.settings


def test_keys_are_random_and_need_no_quoting(app: dfnb.DurableApp) -> None:
    keys = HubKeys(app._hub)
    assert len(set(keys_of(keys))) == 5
    assert re.fullmatch(r"[\w-]{43}", keys.system)
    assert re.fullmatch(r"[\w-]{43}", keys.function)
    with dfnb.DurableApp(durability="memory", registry=dfnb.Registry()) as other:
        assert not set(keys_of(HubKeys(other._hub))) & set(keys_of(keys))


def test_keys_outlive_the_process_that_made_them(tmp_path: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(tmp_path / "hub.duckdb", registry=registry) as app:
        before = keys_of(HubKeys(app._hub))
    with dfnb.DurableApp(tmp_path / "hub.duckdb", registry=registry) as app:
        assert keys_of(HubKeys(app._hub)) == before


def test_rotation_replaces_all_but_the_keys_that_callbacks_and_settings_are_signed_with(app: dfnb.DurableApp) -> None:
    keys = HubKeys(app._hub)
    before = keys_of(keys)
    keys.rotate()
    assert not set(before[:3]) & set(keys_of(keys))
    assert (keys.callbacks, keys.settings) == before[3:]
    assert keys_of(HubKeys(app._hub)) == keys_of(keys)


def test_keys_are_not_shown(app: dfnb.DurableApp) -> None:
    keys = HubKeys(app._hub)
    assert repr(keys) == "<HubKeys>"
    assert keys.system not in f"{keys!r}{keys}"
