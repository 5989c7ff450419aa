"""The routes of the management API as a table: dispatch reads it, and so does the OpenAPI document."""

from __future__ import annotations

from typing import NamedTuple


class Route(NamedTuple):
    """One operation: a method, the segments behind the base path, and the name of what answers."""

    method: str
    path: str
    operation: str
    verb: str = ""
    """What a link has to allow, for operations on one instance; empty: only the hub's key opens it."""
    is_open: bool = False
    """Whether it asks for no key."""


ROUTES = (
    Route("POST", "orchestrators/{functionName}", "start"),
    Route("POST", "orchestrators/{functionName}/{instanceId}", "start"),
    Route("GET", "entities", "list_entities"),
    Route("GET", "entities/{entityName}", "list_entities"),
    Route("GET", "entities/{entityName}/{entityKey}", "get_entity"),
    Route("POST", "entities/{entityName}", "signal_entity"),
    Route("POST", "entities/{entityName}/{entityKey}", "signal_entity"),
    Route("DELETE", "entities/{entityName}", "delete_entity"),
    Route("DELETE", "entities/{entityName}/{entityKey}", "delete_entity"),
    Route("GET", "instances", "list_instances"),
    Route("DELETE", "instances", "purge_instances"),
    Route("GET", "instances/{instanceId}", "get_status", "status"),
    Route("DELETE", "instances/{instanceId}", "purge_instance", "purge"),
    Route("POST", "instances/{instanceId}/terminate", "terminate", "terminate"),
    Route("POST", "instances/{instanceId}/suspend", "suspend", "suspend"),
    Route("POST", "instances/{instanceId}/resume", "resume", "resume"),
    Route("POST", "instances/{instanceId}/rewind", "rewind", "rewind"),
    Route("POST", "instances/{instanceId}/restart", "restart", "restart"),
    Route("POST", "instances/{instanceId}/raiseEvent/{eventName}", "raise_event", "raiseEvent"),
    Route("GET", "instances/{instanceId}/record", "get_record"),
    Route("GET", "instances/{instanceId}/events", "get_events"),
    Route("GET", "instances/{instanceId}/logs", "get_logs"),
    Route("GET", "instances/{instanceId}/exchanges", "get_exchanges"),
    Route("GET", "instances/{instanceId}/calls", "get_calls"),
    Route("GET", "instances/{instanceId}/children", "get_children"),
    Route("GET", "instances/{instanceId}/source", "get_source"),
    Route("GET", "changes", "follow_changes"),
    Route("GET", "whoami", "prove", is_open=True),
    Route("GET", "makeprimary", "make_primary"),
    Route("POST", "makeprimary", "make_primary"),
    Route("DELETE", "makeprimary", "make_primary"),
)


class Match(NamedTuple):
    """A route with what its parameters stand for."""

    route: Route
    params: dict[str, str]


def match(method: str, path: str) -> Match | None:
    """The route for a decoded path behind the base path. Fixed words ignore case, slashes around it do not matter."""
    segments = path.strip("/").split("/")
    for method_wanted, pattern, route in _PATTERNS.get(len(segments), ()):
        if method != method_wanted:
            continue
        params: dict[str, str] = {}
        for wanted, segment in zip(pattern, segments, strict=True):
            if wanted[0] == "{":
                params[wanted[1:-1]] = segment
            elif wanted != segment.lower():
                break
        else:
            return Match(route, params) if all(params.values()) else None
    return None


_Pattern = tuple[str, list[str], Route]


def _patterns() -> dict[int, list[_Pattern]]:
    found: dict[int, list[_Pattern]] = {}
    for route in ROUTES:
        pattern = [part if part[0] == "{" else part.lower() for part in route.path.split("/")]
        found.setdefault(len(pattern), []).append((route.method, pattern, route))
    return found


_PATTERNS = _patterns()
