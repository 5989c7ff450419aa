"""dfnb: durable workflows in a notebook, with the programming model of Azure Durable Functions.

``%load_ext dfnb`` in a notebook, or ``with dfnb.DurableApp("hub.duckdb") as app`` in a program.
"""

from typing import Any

from dfnb.app import (
    DurableApp,
    close,
    current,
    definitions,
    entities,
    instance,
    instances,
    open,
    sql,
    start,
    start_many,
    stats,
)
from dfnb.client.aio import AsyncDurableOrchestrationClient
from dfnb.client.entities import CleanEntityStorageResult, DurableEntityStatus, EntityHandle, EntityStateResponse
from dfnb.client.http_log import HttpExchange, HttpLog
from dfnb.client.instance import Instance
from dfnb.client.remote.connect import connect
from dfnb.client.remote.follow import Followed, follow
from dfnb.client.status import DurableOrchestrationStatus, PurgeHistoryResult
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Entity, Orchestrator, Registry, activity, entity, http_trigger, orchestrator
from dfnb.durable_http.description import Poll
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.tokens import (
    CallableTokenSource,
    CredentialTokenSource,
    ManagedIdentityOptions,
    ManagedIdentityTokenSource,
)
from dfnb.engine.http import HttpSettings
from dfnb.engine.info import ActivityCancelled, activity_info
from dfnb.errors import (
    DefinitionError,
    DfnbError,
    EngineBusyError,
    HttpCallError,
    HttpConnectionError,
    HttpRefusedError,
    HttpRetriesExhaustedError,
    HttpTimeoutError,
    HubClosedError,
    HubError,
    HubFormatError,
    HubInUseError,
    HubMovedError,
    HubUnavailableError,
    InstanceConflictError,
    InstanceError,
    InstanceExistsError,
    InstanceFailedError,
    InstanceFinishedError,
    InstanceNotFoundError,
    LockingRulesViolationError,
    NonDeterminismError,
    NotRegisteredError,
    PayloadError,
    PortInUseError,
    PrivateAddressError,
    QueryError,
    RemoteError,
    RemoteRefusedError,
    RemoteUnavailableError,
    SecretNotAvailableError,
    ServeError,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TokenError,
    WaitTimeoutError,
)
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.http import DurableHttpRequest, DurableHttpResponse
from dfnb.records.instance import OrchestrationRuntimeStatus
from dfnb.records.retry import RetryOptions, RetryPolicy
from dfnb.records.web import AuthLevel, HttpRequest, HttpResponse
from dfnb.replay.context import DurableOrchestrationContext
from dfnb.replay.entity import DurableEntityContext
from dfnb.replay.tasks import Task, TaskState, TimerTask
from dfnb.server.serving import Server
from dfnb.server.settings import ServerSettings

__all__ = [
    "ActivityCancelled",
    "AsyncDurableOrchestrationClient",
    "AuthLevel",
    "CallableTokenSource",
    "CleanEntityStorageResult",
    "CredentialTokenSource",
    "DefinitionError",
    "DfnbError",
    "DurableApp",
    "DurableEntityContext",
    "DurableEntityStatus",
    "DurableHttpRequest",
    "DurableHttpResponse",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "EngineBusyError",
    "Entity",
    "EntityHandle",
    "EntityId",
    "EntityStateResponse",
    "FailureDetails",
    "Followed",
    "HttpCallError",
    "HttpConnectionError",
    "HttpExchange",
    "HttpLog",
    "HttpRefusedError",
    "HttpRequest",
    "HttpResponse",
    "HttpRetriesExhaustedError",
    "HttpSettings",
    "HttpTimeoutError",
    "HubClosedError",
    "HubError",
    "HubFormatError",
    "HubInUseError",
    "HubMovedError",
    "HubUnavailableError",
    "Instance",
    "InstanceConflictError",
    "InstanceError",
    "InstanceExistsError",
    "InstanceFailedError",
    "InstanceFinishedError",
    "InstanceNotFoundError",
    "LockingRulesViolationError",
    "ManagedIdentityOptions",
    "ManagedIdentityTokenSource",
    "NonDeterminismError",
    "NotRegisteredError",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "Pace",
    "PayloadError",
    "Poll",
    "PortInUseError",
    "PrivateAddressError",
    "PurgeHistoryResult",
    "QueryError",
    "Registry",
    "RemoteError",
    "RemoteRefusedError",
    "RemoteUnavailableError",
    "RetryOptions",
    "RetryPolicy",
    "Secret",
    "SecretNotAvailableError",
    "ServeError",
    "Server",
    "ServerSettings",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskState",
    "TimerTask",
    "TokenError",
    "WaitTimeoutError",
    "activity",
    "activity_info",
    "close",
    "connect",
    "current",
    "definitions",
    "entities",
    "entity",
    "follow",
    "http_trigger",
    "instance",
    "instances",
    "open",
    "orchestrator",
    "sql",
    "start",
    "start_many",
    "stats",
]


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext dfnb``: open the hub, register the magics, say so in one line."""
    from dfnb.notebook import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext dfnb``: close the hub and take the magics away."""
    from dfnb.notebook import unload

    unload(ipython)
