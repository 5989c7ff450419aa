-- section: tables
-- The tables of a hub. Times are microseconds since 1970, UTC. The views at the end are for people: their comments, which
-- stand in the file too (duckdb_views(), duckdb_columns()), say what each column tells.

CREATE TABLE hub (
    application VARCHAR NOT NULL,      -- always 'dfnb'
    schema_version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    watermark BIGINT NOT NULL          -- rows of `instance` account for all events up to this position
);

-- The record: append-only, in order of arrival. A commit appends here (and to `log`) and nowhere else.
CREATE TABLE event (
    pos BIGINT NOT NULL,               -- one counter for the whole hub
    instance INTEGER NOT NULL,
    generation INTEGER NOT NULL,       -- how often the instance had continued as new
    turn INTEGER NOT NULL,             -- 0: written down before a turn took it in; -1: it came too late for any
    kind UTINYINT NOT NULL,
    task INTEGER,
    took BIGINT,
    happened_at BIGINT NOT NULL,
    name VARCHAR,
    data VARCHAR
);
CREATE INDEX event_instance ON event (instance);

-- Derived from `event`, flushed a little later, made good at opening.
CREATE TABLE instance (
    key INTEGER PRIMARY KEY,
    id VARCHAR NOT NULL,
    id_hash UINTEGER NOT NULL,         -- CRC-32 of the id: many times faster to look through than the ids
    name VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    generation INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    started_pos BIGINT NOT NULL,
    ended_pos BIGINT,
    custom_status VARCHAR,
    parent_id VARCHAR,
    code VARCHAR,
    waits VARCHAR,
    held VARCHAR
);

CREATE TABLE log (
    instance INTEGER NOT NULL,
    task INTEGER,
    attempt INTEGER NOT NULL,
    happened_at BIGINT NOT NULL,
    stream VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

CREATE TABLE definition (
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (kind, name, fingerprint)
);

CREATE TABLE event_kind (kind UTINYINT PRIMARY KEY, event_type VARCHAR NOT NULL);
INSERT INTO event_kind VALUES
    (0, 'ExecutionStarted'), (1, 'ExecutionCompleted'), (3, 'ExecutionTerminated'), (4, 'TaskScheduled'),
    (5, 'TaskCompleted'), (6, 'TaskFailed'), (7, 'SubOrchestrationInstanceCreated'), (8, 'SubOrchestrationInstanceCompleted'),
    (9, 'SubOrchestrationInstanceFailed'), (10, 'TimerCreated'), (11, 'TimerFired'), (12, 'OrchestratorStarted'),
    (15, 'EventRaised'), (19, 'ExecutionSuspended'), (20, 'ExecutionResumed'), (40, 'TimerCanceled'),
    (41, 'CustomStatusSet'), (42, 'ExecutionRewound');

-- section: entities
-- What happened to entities, in the order of arrival of the whole hub: append-only like `event`.
CREATE TABLE operation (
    pos BIGINT NOT NULL,               -- the same counter as in `event`
    entity INTEGER NOT NULL,
    number BIGINT NOT NULL,            -- the operation's place in the entity's order of arrival; 0: the row is about none
    kind UTINYINT NOT NULL,            -- 0 created, 1 arrived, 2 completed, 3 failed, 4 locked, 5 unlocked, 6 canceled, 7 state set
    happened_at BIGINT NOT NULL,
    took BIGINT,
    data VARCHAR,                      -- the result, the failure or the state
    -- what was asked for stands in the first row of an operation only
    mode VARCHAR,                      -- call, signal, lock or unlock
    sent_at BIGINT,
    name VARCHAR,                      -- of a created entity its id
    caller VARCHAR,                    -- the id of an instance or entity; none: a client
    input VARCHAR,
    header VARCHAR
);

-- Derived from `operation`, flushed a little later, made good at opening.
CREATE TABLE entity (
    key INTEGER PRIMARY KEY,           -- the same counter as in `instance`
    id VARCHAR NOT NULL,               -- '@name@key'
    id_hash UINTEGER NOT NULL,
    name VARCHAR NOT NULL,
    state VARCHAR,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    arrived BIGINT NOT NULL,
    operations BIGINT NOT NULL,
    waiting INTEGER NOT NULL,
    lock VARCHAR,
    lock_number BIGINT NOT NULL,
    oldest_pos BIGINT                  -- of the operations that wait
);

INSERT INTO event_kind VALUES
    (43, 'EntityOperationCalled'), (44, 'EntityOperationSignaled'), (45, 'EntityOperationCompleted'),
    (46, 'EntityOperationFailed'), (47, 'EntityLockRequested'), (48, 'EntityLockGranted'), (49, 'EntityUnlockSent');

-- section: http
-- What HTTP calls have sent and received, a row for each request, secrets redacted.
CREATE TABLE http_exchange (
    pos BIGINT NOT NULL,               -- the same counter as in `event`
    instance INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    purpose VARCHAR NOT NULL,
    sent_at BIGINT NOT NULL,
    took BIGINT NOT NULL,
    method VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    request_headers VARCHAR,
    request_body VARCHAR,              -- a small body itself; a large one stands in `http_body`
    request_hash VARCHAR,
    request_bytes BIGINT NOT NULL,
    status INTEGER,
    response_headers VARCHAR,
    response_body VARCHAR,
    response_hash VARCHAR,
    response_bytes BIGINT NOT NULL,
    asked BIGINT,
    due_at BIGINT,
    note VARCHAR,
    error VARCHAR,
    work VARCHAR                       -- the state of the call after this exchange; none: it is over
);

-- Large bodies, each once. A body that is valid UTF-8 stands in `text`, any other in `data`.
CREATE TABLE http_body (hash VARCHAR NOT NULL, text VARCHAR, data BLOB);

-- What only this hub knows: the key that the references to secrets in it are signed with.
CREATE TABLE hub_key (name VARCHAR NOT NULL, value BLOB NOT NULL);

INSERT INTO event_kind VALUES (50, 'HttpCallScheduled'), (51, 'HttpCallCompleted'), (52, 'HttpCallFailed');

-- section: views
CREATE OR REPLACE VIEW instances AS
SELECT
    i.id AS instance_id,
    i.name,
    i.status AS runtime_status,
    make_timestamp(i.created_at) AS created_time,
    make_timestamp(i.updated_at) AS last_updated_time,
    to_microseconds(i.updated_at - i.created_at) AS elapsed,
    CASE WHEN instr(s.data, chr(10)) > 0 THEN substr(s.data, instr(s.data, chr(10)) + 1) END AS input,
    e.data AS output,
    i.custom_status,
    i.parent_id AS parent_instance_id,
    i.generation,
    i.code AS code_hash,
    i.held
FROM instance i
LEFT JOIN event s ON s.pos = i.started_pos
LEFT JOIN event e ON e.pos = i.ended_pos;

CREATE OR REPLACE VIEW history AS
SELECT
    i.id AS instance_id,
    e.pos AS position,
    e.generation,
    e.turn,
    k.event_type,
    e.task AS task_id,
    CASE WHEN e.kind NOT IN (51, 52) THEN e.name END AS name,
    CASE WHEN e.kind IN (43, 44) THEN regexp_extract(e.data, '^[^\r\n]*') END AS entity_id,
    CASE WHEN e.kind IN (0, 43, 44) THEN
        CASE WHEN instr(e.data, chr(10)) > 0 THEN substr(e.data, instr(e.data, chr(10)) + 1) END
    WHEN e.kind IN (51, 52) THEN regexp_extract(e.data, '^[^\n]*')
    ELSE e.data END AS data,
    make_timestamp(e.happened_at) AS timestamp,
    to_microseconds(e.took) AS took
FROM event e
JOIN instance i ON i.key = e.instance
JOIN event_kind k ON k.kind = e.kind;

CREATE OR REPLACE VIEW activities AS
SELECT
    i.id AS instance_id,
    e.generation,
    e.task AS task_id,
    any_value(e.name) FILTER (e.kind = 4) AS name,
    CASE
        WHEN arg_max(e.kind, e.pos) = 5 THEN 'Completed'
        WHEN arg_max(e.kind, e.pos) = 6 THEN 'Failed'
        WHEN any_value(i.generation) > e.generation OR any_value(i.status) IN ('Completed', 'Failed', 'Terminated') THEN 'Canceled'
        WHEN arg_max(e.kind, e.pos) = 4 THEN 'Running'
        ELSE 'Retrying'
    END AS status,
    count(*) FILTER (e.kind = 4) AS attempts,
    make_timestamp(min(e.happened_at)) AS scheduled_time,
    CASE WHEN arg_max(e.kind, e.pos) IN (5, 6) THEN make_timestamp(max(e.happened_at)) END AS completed_time,
    to_microseconds(CAST(sum(e.took) AS BIGINT)) AS duration,
    any_value(e.data) FILTER (e.kind = 4) AS input,
    arg_max(e.data, e.pos) FILTER (e.kind = 5) AS result,
    arg_max(e.data, e.pos) FILTER (e.kind = 6) AS last_failure
FROM event e
JOIN instance i ON i.key = e.instance
WHERE e.task IS NOT NULL
GROUP BY i.id, e.generation, e.task
HAVING count(*) FILTER (e.kind = 4) > 0;

CREATE OR REPLACE VIEW logs AS
SELECT coalesce(i.id, n.id) AS instance_id, l.task AS task_id, l.attempt, make_timestamp(l.happened_at) AS timestamp, l.stream, l.text
FROM log l LEFT JOIN instance i ON i.key = l.instance LEFT JOIN entity n ON n.key = l.instance;

CREATE OR REPLACE VIEW entities AS
SELECT
    id AS entity_id,
    name,
    substr(id, length(name) + 3) AS key,
    state,
    make_timestamp(created_at) AS created_time,
    make_timestamp(updated_at) AS last_operation_time,
    operations,
    waiting,
    json_extract_string(lock, '$.id') AS locked_by
FROM entity;

CREATE OR REPLACE VIEW entity_operations AS
SELECT
    n.id AS entity_id,
    o.number AS operation_id,
    any_value(o.mode) AS kind,
    any_value(o.name) AS operation,
    CASE arg_max(o.kind, o.pos)
        WHEN 1 THEN 'Waiting' WHEN 2 THEN 'Completed' WHEN 3 THEN 'Failed' WHEN 4 THEN 'Held' WHEN 5 THEN 'Released' ELSE 'Canceled'
    END AS status,
    any_value(o.caller) AS caller_id,
    make_timestamp(any_value(o.sent_at)) AS requested_time,
    make_timestamp(min(o.happened_at) FILTER (o.kind > 1)) AS started_time,
    make_timestamp(max(o.happened_at) FILTER (o.kind IN (2, 3, 5, 6))) AS completed_time,
    to_microseconds(any_value(o.took)) AS duration,
    any_value(o.input) AS input,
    any_value(o.data) FILTER (o.kind = 2) AS result,
    any_value(o.data) FILTER (o.kind = 3) AS failure
FROM operation o
JOIN entity n ON n.key = o.entity
WHERE o.kind NOT IN (0, 7)
GROUP BY n.id, o.number
HAVING any_value(o.mode) <> 'unlock';

CREATE OR REPLACE VIEW definitions AS
SELECT kind, name, fingerprint AS code_hash, source, make_timestamp(first_seen_at) AS first_seen_time FROM definition;

CREATE OR REPLACE VIEW http_exchanges AS
SELECT
    i.id AS instance_id,
    x.generation,
    x.task AS task_id,
    x.attempt,
    x.purpose,
    make_timestamp(x.sent_at) AS timestamp,
    to_microseconds(x.took) AS duration,
    x.method,
    x.url,
    x.request_headers,
    coalesce(x.request_body, q.text) AS request_body,
    x.request_bytes,
    x.status,
    x.response_headers,
    coalesce(x.response_body, r.text) AS response_body,
    x.response_bytes,
    to_microseconds(x.asked) AS asked_wait,
    to_microseconds(x.due_at - x.sent_at - x.took) AS wait,
    x.note,
    x.error,
    x.request_hash AS request_body_hash,
    x.response_hash AS response_body_hash
FROM http_exchange x
JOIN instance i ON i.key = x.instance
LEFT JOIN http_body q ON q.hash = x.request_hash
LEFT JOIN http_body r ON r.hash = x.response_hash
WHERE x.method <> '';

COMMENT ON VIEW instances IS 'One row for each instance: what its status says. Times are UTC.';
COMMENT ON COLUMN instances.instance_id IS 'The id of the instance';
COMMENT ON COLUMN instances.name IS 'The name of its orchestrator';
COMMENT ON COLUMN instances.runtime_status IS 'Pending, Running, Suspended, Completed, Failed or Terminated';
COMMENT ON COLUMN instances.created_time IS 'When it was started';
COMMENT ON COLUMN instances.last_updated_time IS 'When anything last happened to it';
COMMENT ON COLUMN instances.elapsed IS 'From its start to the last thing that happened to it: how long it took, once it has ended';
COMMENT ON COLUMN instances.input IS 'Its input as JSON, after continue_as_new that of the latest generation';
COMMENT ON COLUMN instances.output IS 'Its return value as JSON; the reason of one that was terminated; type, message and traceback, as JSON, of one that failed';
COMMENT ON COLUMN instances.custom_status IS 'What set_custom_status was last given, as JSON';
COMMENT ON COLUMN instances.parent_instance_id IS 'The instance that started it as a sub-orchestration';
COMMENT ON COLUMN instances.generation IS 'How often it has continued as new';
COMMENT ON COLUMN instances.code_hash IS 'The definition it runs: see the view definitions';
COMMENT ON COLUMN instances.held IS 'Why it is held, if its code no longer agrees with its history';

COMMENT ON VIEW history IS 'One row for each event of each instance, in the order they were recorded. Times are UTC.';
COMMENT ON COLUMN history.instance_id IS 'The id of the instance';
COMMENT ON COLUMN history.position IS 'The place of the event in the history of the whole hub';
COMMENT ON COLUMN history.generation IS 'How often the instance had continued as new';
COMMENT ON COLUMN history.turn IS 'The turn that took the event in or made it; 0: written down before a turn could take it in; -1: it came too late for any';
COMMENT ON COLUMN history.event_type IS 'What happened: TaskScheduled, TaskCompleted, EventRaised, ...';
COMMENT ON COLUMN history.task_id IS 'The number of the task it belongs to, in its generation';
COMMENT ON COLUMN history.name IS 'The name of the orchestrator, activity, operation or event; the status of an end';
COMMENT ON COLUMN history.entity_id IS 'The entity that an operation was for';
COMMENT ON COLUMN history.data IS 'Input, result, failure or output as JSON; the reason; when a timer is due, in microseconds since 1970';
COMMENT ON COLUMN history.timestamp IS 'When it happened';
COMMENT ON COLUMN history.took IS 'How long the activity ran, or the event had been waited for';

COMMENT ON VIEW activities IS 'One row for each activity that was asked for, whatever number of tries it took. Times are UTC.';
COMMENT ON COLUMN activities.instance_id IS 'The id of the instance that asked for it';
COMMENT ON COLUMN activities.generation IS 'How often that instance had continued as new';
COMMENT ON COLUMN activities.task_id IS 'The number of the task in that generation';
COMMENT ON COLUMN activities.name IS 'The name of the activity';
COMMENT ON COLUMN activities.status IS 'Running (also while it waits for a free place), Retrying, Completed, Failed, or Canceled: the instance went on without it';
COMMENT ON COLUMN activities.attempts IS 'How often it was asked for';
COMMENT ON COLUMN activities.scheduled_time IS 'When it was first asked for';
COMMENT ON COLUMN activities.completed_time IS 'When it completed or last failed, if it is not to be tried again';
COMMENT ON COLUMN activities.duration IS 'How long its function ran, all tries together';
COMMENT ON COLUMN activities.input IS 'Its input as JSON';
COMMENT ON COLUMN activities.result IS 'Its result as JSON';
COMMENT ON COLUMN activities.last_failure IS 'Type, message and traceback of its last failure, as JSON';

COMMENT ON VIEW logs IS 'What orchestrators, activities and entities printed and logged, one row a line. Times are UTC.';
COMMENT ON COLUMN logs.instance_id IS 'The id of the instance or the entity';
COMMENT ON COLUMN logs.task_id IS 'The activity that said it, of an entity the operation; none: the orchestrator';
COMMENT ON COLUMN logs.attempt IS 'The try of the activity that said it';
COMMENT ON COLUMN logs.timestamp IS 'When it was said';
COMMENT ON COLUMN logs.stream IS 'stdout, stderr, or the level of a logged line';
COMMENT ON COLUMN logs.text IS 'The line';

COMMENT ON VIEW http_exchanges IS 'One row for each request that an HTTP call has sent, polls included. Times are UTC, secrets are redacted.';
COMMENT ON COLUMN http_exchanges.instance_id IS 'The id of the instance that made the call';
COMMENT ON COLUMN http_exchanges.generation IS 'How often that instance had continued as new';
COMMENT ON COLUMN http_exchanges.task_id IS 'The number of the call''s task in that generation';
COMMENT ON COLUMN http_exchanges.attempt IS 'The place of the exchange in the call, from 1';
COMMENT ON COLUMN http_exchanges.purpose IS 'first, start, poll, result, retry or cancel';
COMMENT ON COLUMN http_exchanges.timestamp IS 'When the request was sent';
COMMENT ON COLUMN http_exchanges.duration IS 'From sending to the end of the answer';
COMMENT ON COLUMN http_exchanges.method IS 'GET, POST, ...';
COMMENT ON COLUMN http_exchanges.url IS 'The URL';
COMMENT ON COLUMN http_exchanges.request_headers IS 'Names and values as JSON, a list of pairs';
COMMENT ON COLUMN http_exchanges.request_body IS 'The body that was sent; none if it is no text';
COMMENT ON COLUMN http_exchanges.request_bytes IS 'Its size';
COMMENT ON COLUMN http_exchanges.status IS 'The status code; none if no answer came';
COMMENT ON COLUMN http_exchanges.response_headers IS 'Names and values as JSON, a list of pairs';
COMMENT ON COLUMN http_exchanges.response_body IS 'The body that came; none if it is no text';
COMMENT ON COLUMN http_exchanges.response_bytes IS 'Its size';
COMMENT ON COLUMN http_exchanges.asked_wait IS 'How long the server wanted to be left alone';
COMMENT ON COLUMN http_exchanges.wait IS 'How long until the next request was to be sent';
COMMENT ON COLUMN http_exchanges.note IS 'What was odd';
COMMENT ON COLUMN http_exchanges.error IS 'Why no answer came';
COMMENT ON COLUMN http_exchanges.request_body_hash IS 'The hash of a large body that was sent: see the table http_body';
COMMENT ON COLUMN http_exchanges.response_body_hash IS 'The hash of a large body that came: see the table http_body';

COMMENT ON VIEW entities IS 'One row for each entity: its latest state. Times are UTC.';
COMMENT ON COLUMN entities.entity_id IS 'The entity as text: @name@key';
COMMENT ON COLUMN entities.name IS 'Its name, in lower case';
COMMENT ON COLUMN entities.key IS 'Its key';
COMMENT ON COLUMN entities.state IS 'Its state as JSON; none: it has none, or it was deleted';
COMMENT ON COLUMN entities.created_time IS 'When it was first asked for';
COMMENT ON COLUMN entities.last_operation_time IS 'When its last operation ran';
COMMENT ON COLUMN entities.operations IS 'How many operations have run';
COMMENT ON COLUMN entities.waiting IS 'How many wait for a lock, for their time or for the cell that defines the entity';
COMMENT ON COLUMN entities.locked_by IS 'The instance that holds its lock';

COMMENT ON VIEW entity_operations IS 'One row for each operation of each entity, locks included. Times are UTC.';
COMMENT ON COLUMN entity_operations.entity_id IS 'The entity as text: @name@key';
COMMENT ON COLUMN entity_operations.operation_id IS 'The place of the operation in the entity''s order of arrival';
COMMENT ON COLUMN entity_operations.kind IS 'call, signal or lock';
COMMENT ON COLUMN entity_operations.operation IS 'The name of the operation';
COMMENT ON COLUMN entity_operations.status IS 'Waiting, Completed or Failed; of a lock Waiting, Held, Released or Canceled';
COMMENT ON COLUMN entity_operations.caller_id IS 'The instance or entity that asked for it; none: a client';
COMMENT ON COLUMN entity_operations.requested_time IS 'When it was asked for';
COMMENT ON COLUMN entity_operations.started_time IS 'When it ran, or the lock was taken';
COMMENT ON COLUMN entity_operations.completed_time IS 'When it had run, or the lock was given back';
COMMENT ON COLUMN entity_operations.duration IS 'How long its code ran';
COMMENT ON COLUMN entity_operations.input IS 'Its input as JSON';
COMMENT ON COLUMN entity_operations.result IS 'Its result as JSON';
COMMENT ON COLUMN entity_operations.failure IS 'Type, message and traceback of its failure, as JSON';

COMMENT ON VIEW definitions IS 'The source of every orchestrator, activity and entity that ever ran on this hub. Times are UTC.';
COMMENT ON COLUMN definitions.kind IS 'orchestrator, activity or entity';
COMMENT ON COLUMN definitions.name IS 'Its name';
COMMENT ON COLUMN definitions.code_hash IS 'The fingerprint of this version: what instances.code_hash refers to';
COMMENT ON COLUMN definitions.source IS 'Its source';
COMMENT ON COLUMN definitions.first_seen_time IS 'When this version was first defined';
