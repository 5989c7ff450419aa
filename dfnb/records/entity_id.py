"""Which entity: a name and a key."""

from __future__ import annotations

import dataclasses

_FORBIDDEN = frozenset("/\\?#@")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class EntityId:
    """An entity's name (compared in lower case) and key (case kept); as text ``@name@key``.

    Both are texts that are not empty, without ``/ \\ ? # @`` and control characters: they are part of URLs. ValueError otherwise.
    """

    name: str
    key: str

    def __post_init__(self) -> None:
        for part in ("name", "key"):
            value = getattr(self, part)
            if not isinstance(value, str) or not value:
                raise ValueError(f"an entity's {part} is a text that is not empty, not {value!r}")
            bad = sorted({c for c in value if c in _FORBIDDEN or ord(c) < 32 or 127 <= ord(c) < 160})
            if bad:
                found = ", ".join(map(repr, bad))
                raise ValueError(f"the entity's {part} {value!r} contains {found}; leave out / \\ ? # @ and control characters")
        object.__setattr__(self, "name", self.name.lower())

    def __str__(self) -> str:
        return f"@{self.name}@{self.key}"

    @staticmethod
    def get_scheduler_id(entity_id: EntityId) -> str:
        """The id as the original's scheduler names it: ``@name@key``."""
        return str(entity_id)

    @staticmethod
    def get_entity_id_url_path(entity_id: EntityId) -> str:
        """Where the management API has the entity: ``entities/name/key``."""
        return f"entities/{entity_id.name}/{entity_id.key}"

    @staticmethod
    def get_entity_id(scheduler_id: str) -> EntityId:
        """The id in a text ``@name@key``. ValueError if it is none."""
        parts = scheduler_id.split("@")
        if len(parts) != 3 or parts[0]:
            raise ValueError(f"{scheduler_id!r} is not an entity id of the form @name@key")
        return EntityId(parts[1], parts[2])
