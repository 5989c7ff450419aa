"""How IPython shows our values: live in a notebook, as text in a terminal. The values themselves know nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dfnb import app as apps
from dfnb.app import DefinitionsTable
from dfnb.client import cards
from dfnb.client.entities import DurableEntityStatus, EntityHandle, EntityPage, OperationTable, clock, state_text
from dfnb.client.history import History
from dfnb.client.http_log import HttpExchange, HttpLog
from dfnb.client.instance import Instance
from dfnb.client.pictures.drawing import SvgPicture
from dfnb.client.remote.follow import Followed
from dfnb.client.stats import HubStats
from dfnb.client.status import DurableOrchestrationStatus, InstancePage
from dfnb.client.tables import EntitiesTable, InstancesTable
from dfnb.definitions import Definition
from dfnb.errors import DfnbError
from dfnb.notebook import display, live, table_twins, terminal
from dfnb.notebook.events import event_line, subject_of
from dfnb.notebook.followed import FollowedTracker
from dfnb.notebook.live import Tracker
from dfnb.notebook.other_tables import DefinitionsTracker, EntitiesTracker
from dfnb.notebook.snapshot import InstanceTracker, Picture, picture_of_status
from dfnb.notebook.tables import GivenTracker, InstancesTracker, TableTracker
from dfnb.records.failure import FailureDetails
from dfnb.records.history import Recorded
from dfnb.records.http import DurableHttpResponse
from dfnb.records.short_repr import visible
from dfnb.server.failures import FailedRequests
from dfnb.server.serving import Server

Shell = Any

_OPERATIONS_SHOWN = 10
_REMOTE = ("dfnb.client.remote.client", "RemoteOrchestrationClient")
_TITLES = ("time", "turn", "event", "task", "name")


class HistoryTable(History):
    """Events that show as a table."""

    def lines(self) -> list[tuple[str, ...]]:
        names: dict[int, str] = {}
        return [_history_line(row, names) for row in self]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(display.columns(_TITLES, self.lines()))

    def _repr_html_(self) -> str:
        return display.lines_table_html(_TITLES, self.lines())


def _history_line(row: Recorded, names: dict[int, str]) -> tuple[str, ...]:
    task = getattr(row.event, "task", None)
    name = subject_of(row.event)
    if task is not None and name:
        names[task] = name
    event = event_line(row.at, row.event, names.get(task, "") if task is not None else "")
    words = display.event_text({**event, "kind": ""})
    return display.clock(event["at"]), str(row.turn or ""), event["kind"], "" if task is None else str(task), words


def instances_table(
    instances: Iterable[Instance] | None = None, *, runtime_status: Any = None, name: str | None = None,
    prefix: str | None = None, limit: int = 50,
) -> InstancesTable:
    """A live table of the given instances, or of the newest ones of the current hub that fit."""
    if instances is None:
        return InstancesTable(apps.current().client, None, runtime_status, name, prefix, limit=limit)
    given = list(instances)
    return InstancesTable(given[0].client if given else apps.current().client, [instance.id for instance in given])


# ---- from values to pictures


def _instance_tracker(instance: Instance) -> Tracker:
    return InstanceTracker(instance.client, instance.id, instance.name)


def table_tracker(table: InstancesTable | EntitiesTable | DefinitionsTable) -> TableTracker:
    """What follows the rows of a table."""
    if isinstance(table, DefinitionsTable):
        return DefinitionsTracker(table.app)
    if isinstance(table, EntitiesTable):
        return EntitiesTracker(table.client, table.name, table.prefix, table.limit)
    if table.ids is not None:
        return GivenTracker(table.client, table.ids)
    return InstancesTracker(
        table.client, runtime_status=table.runtime_status, name=table.name, prefix=table.prefix, created_from=table.created_from,
        created_to=table.created_to, limit=table.limit,
    )  # fmt: skip


def _list_tracker(values: list[Any]) -> Tracker:
    """A list of nothing but instances of one hub is a table; any other list is none of our business."""
    if not values or not all(isinstance(value, Instance) for value in values):
        raise NotImplementedError
    if any(value.client is not values[0].client for value in values):
        raise NotImplementedError
    return GivenTracker(values[0].client, [value.id for value in values])


def _seen(tracker: Tracker) -> Picture:
    tracker.look()
    return tracker.still()


def _statuses_picture(statuses: Sequence[DurableOrchestrationStatus]) -> Picture:
    rows = {str(at): picture_of_status(status) for at, status in enumerate(statuses)}
    more = int(isinstance(statuses, InstancePage) and statuses.continuation_token is not None)
    return {"kind": "table", "order": list(rows), "rows": rows, "more": more, "note": ""}


def _list_html(values: list[Any]) -> str:
    """HTML for a list of statuses or of recorded events."""
    if values and all(isinstance(value, DurableOrchestrationStatus) for value in values):
        return table_twins.page(_statuses_picture(values))
    if values and all(isinstance(value, Recorded) for value in values):
        return HistoryTable(values)._repr_html_()
    raise NotImplementedError


# ---- entities


def _entity_text(handle: EntityHandle) -> str:
    """What there is to know of an entity, in lines."""
    try:
        status, operations = handle.status(), handle.operations(_OPERATIONS_SHOWN)
    except DfnbError as error:  # the hub may be closed by the time the handle is shown
        return f"<EntityHandle {handle.id}: {error}>"
    if not status:
        return f"<EntityHandle {handle.id}: no such entity>"
    lines = [
        f"entity {handle.id}: {', '.join(status.facts())}; last operation {clock(status.last_operation_time)}",
        state_text(status.state, indent=2) if status.state is not None else "no state",
    ]
    return "\n".join([*lines, *([display.columns(operations.titles, operations.lines())] if operations else [])])


def _page_text(page: EntityPage) -> str:
    more = "there are more" if page.continuation_token is not None else ""
    return display.columns(page.titles, page.lines(), more if page else "no entities")


# ---- registering


def register(shell: Shell) -> Callable[[], None]:
    """Teach the shell our types; returns what makes it forget them."""
    formatters = shell.display_formatter.formatters
    undo: list[Callable[[], None]] = []

    def teach(formatter: Any, kind: type, show: Callable[..., Any]) -> None:
        before = formatter.type_printers.get(kind)
        formatter.for_type(kind, show)
        undo.append(lambda: _put_back(formatter, kind, before))

    texts: list[tuple[type, Callable[[Any], str]]] = [
        (Instance, lambda value: display.instance_text(_seen(_instance_tracker(value)))),
        (InstancePage, lambda value: table_twins.text(_statuses_picture(value))),
        (EntityHandle, _entity_text),
        (EntityPage, _page_text),
        (OperationTable, lambda value: display.columns(value.titles, value.lines()) if value else "no operations"),
        (HttpLog, lambda value: display.columns(value.titles, value.lines(), value.foot)),
        (FailedRequests, str),
        (History, lambda value: display.columns(_TITLES, HistoryTable(value).lines())),
    ]
    for kind, text in texts:
        teach(formatters["text/plain"], kind, _printer(text))
    tables = (InstancesTable, EntitiesTable, DefinitionsTable)
    html = formatters["text/html"]
    for table in tables:
        teach(formatters["text/plain"], table, _printer(lambda value: table_twins.text(_seen(table_tracker(value)))))
        teach(html, table, lambda value: table_twins.page(_seen(table_tracker(value))))
    teach(html, DurableOrchestrationStatus, lambda value: display.instance_html(picture_of_status(value)))
    teach(html, InstancePage, lambda value: table_twins.page(_statuses_picture(value)))
    teach(html, Definition, lambda value: display.definition_html(value.kind, value.name, value.fingerprint, value.source))
    teach(html, list, _list_html)
    pages = (
        EntityHandle, EntityPage, DurableEntityStatus, OperationTable, HttpLog, HttpExchange, HubStats, Followed, SvgPicture,
        apps.DurableApp, FailedRequests, Server,
    )  # fmt: skip
    teach(html, DurableHttpResponse, lambda value: display.page(cards.response_card(value)))
    teach(html, FailureDetails, lambda value: display.page(cards.failure_card(value)))
    for kind in pages:
        teach(html, kind, lambda value: display.page(value._repr_html_()))
    html.for_type_by_name(*_REMOTE, lambda value: display.page(value._repr_html_()))  # by name: few connect, and all would load it
    undo.append(lambda: _forget_by_name(html, *_REMOTE))
    if getattr(shell, "kernel", None) is not None:
        own = shell.display_formatter.ipython_display_formatter
        teach(own, Instance, lambda value: live.show(_instance_tracker(value)))
        for table in tables:
            teach(own, table, lambda value: live.show(table_tracker(value)))
        teach(own, Followed, lambda value: live.show(FollowedTracker(value)))
        teach(own, list, lambda value: live.show(_list_tracker(value)))
    elif terminal.is_here():
        teach(shell.display_formatter.ipython_display_formatter, Instance, _follow_in_terminal)

    def forget() -> None:
        for step in reversed(undo):
            step()

    return forget


def _forget_by_name(formatter: Any, module: str, name: str) -> None:
    formatter.deferred_printers.pop((module, name), None)
    for kind in [kind for kind in formatter.type_printers if (kind.__module__, kind.__name__) == (module, name)]:
        del formatter.type_printers[kind]


def _follow_in_terminal(instance: Instance) -> None:
    """Only what goes on is followed; all else is a line of text."""
    tracker = _instance_tracker(instance)
    if not terminal.can_follow():
        raise NotImplementedError
    tracker.look()
    if tracker.is_over:
        raise NotImplementedError
    live.show(tracker)


def _printer(text: Callable[[Any], str]) -> Callable[[Any, Any, bool], None]:
    return lambda value, printer, cycle: printer.text(visible(text(value)))


def _put_back(formatter: Any, kind: type, before: Any) -> None:
    if before is not None:
        formatter.for_type(kind, before)
    else:
        formatter.type_printers.pop(kind, None)
