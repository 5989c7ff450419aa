-- The tables of a hub. Times are microseconds since 1970, UTC. The views at the end are for people: see the README.

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

CREATE VIEW instances AS
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

CREATE VIEW history AS
SELECT
    i.id AS instance_id,
    e.pos AS position,
    e.generation,
    e.turn,
    k.event_type,
    e.task AS task_id,
    e.name,
    CASE WHEN e.kind = 0 THEN
        CASE WHEN instr(e.data, chr(10)) > 0 THEN substr(e.data, instr(e.data, chr(10)) + 1) END
    ELSE e.data END AS data,
    make_timestamp(e.happened_at) AS timestamp,
    to_microseconds(e.took) AS took
FROM event e
JOIN instance i ON i.key = e.instance
JOIN event_kind k ON k.kind = e.kind;

CREATE VIEW activities AS
SELECT
    i.id AS instance_id,
    e.generation,
    e.task AS task_id,
    any_value(e.name) FILTER (e.kind = 4) AS name,
    CASE arg_max(e.kind, e.pos) WHEN 5 THEN 'Completed' WHEN 6 THEN 'Failed' WHEN 4 THEN 'Running' ELSE 'Retrying' END AS status,
    count(*) FILTER (e.kind = 4) AS attempts,
    make_timestamp(min(e.happened_at)) AS scheduled_time,
    make_timestamp(max(e.happened_at) FILTER (e.kind IN (5, 6))) AS completed_time,
    to_microseconds(CAST(sum(e.took) AS BIGINT)) AS duration,
    any_value(e.data) FILTER (e.kind = 4) AS input,
    any_value(e.data) FILTER (e.kind = 5) AS result,
    arg_max(e.data, e.pos) FILTER (e.kind = 6) AS last_failure
FROM event e
JOIN instance i ON i.key = e.instance
WHERE e.task IS NOT NULL
GROUP BY i.id, e.generation, e.task
HAVING count(*) FILTER (e.kind = 4) > 0;

CREATE VIEW logs AS
SELECT i.id AS instance_id, l.task AS task_id, l.attempt, make_timestamp(l.happened_at) AS timestamp, l.stream, l.text
FROM log l JOIN instance i ON i.key = l.instance;

CREATE VIEW definitions AS
SELECT kind, name, fingerprint AS code_hash, source, make_timestamp(first_seen_at) AS first_seen_time FROM definition;
