from __future__ import annotations

import pytest

from dfnb.records.entity_id import EntityId


def test_the_name_is_compared_in_lower_case_and_the_key_as_it_is() -> None:
    assert EntityId("Counter", "X") == EntityId("counter", "X") != EntityId("counter", "x")
    assert str(EntityId("Counter", "X")) == "@counter@X"


def test_text_goes_both_ways() -> None:
    entity = EntityId("counter", "x")
    assert EntityId.get_entity_id(EntityId.get_scheduler_id(entity)) == entity
    assert EntityId.get_entity_id_url_path(EntityId("Counter", "X")) == "entities/counter/X"


@pytest.mark.parametrize(
    ("name", "key"),
    [("", "k"), ("n", ""), ("a@b", "k"), ("n", "k@"), ("n", "a/b"), ("n", "a\\b"), ("n", "a?b"), ("n", "a#b"), ("n", "a\nb")],
)
def test_parts_that_cannot_be_told_apart_are_refused(name: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"entity's (name|key)"):
        EntityId(name, key)
    with pytest.raises(ValueError, match="entity"):
        EntityId.get_entity_id(f"{name}{key}")
