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

CREATE VIEW logs AS
SELECT i.id AS instance_id, l.task AS task_id, l.attempt, make_timestamp(l.happened_at) AS timestamp, l.stream, l.text
FROM log l JOIN instance i ON i.key = l.instance;

CREATE VIEW definitions AS
SELECT kind, name, fingerprint AS code_hash, source, make_timestamp(first_seen_at) AS first_seen_time FROM definition;

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
COMMENT ON COLUMN history.name IS 'The name of the orchestrator, activity or event; the status of an end';
COMMENT ON COLUMN history.data IS 'Input, result, failure or output as JSON; the reason; when a timer is due, in microseconds since 1970';
COMMENT ON COLUMN history.timestamp IS 'When it happened';
COMMENT ON COLUMN history.took IS 'How long the activity ran';

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

COMMENT ON VIEW logs IS 'What orchestrators and activities printed and logged, one row a line. Times are UTC.';
COMMENT ON COLUMN logs.instance_id IS 'The id of the instance';
COMMENT ON COLUMN logs.task_id IS 'The activity that said it; none: the orchestrator';
COMMENT ON COLUMN logs.attempt IS 'The try of the activity that said it';
COMMENT ON COLUMN logs.timestamp IS 'When it was said';
COMMENT ON COLUMN logs.stream IS 'stdout, stderr, or the level of a logged line';
COMMENT ON COLUMN logs.text IS 'The line';

COMMENT ON VIEW definitions IS 'The source of every orchestrator and activity that ever ran on this hub. Times are UTC.';
COMMENT ON COLUMN definitions.kind IS 'orchestrator, activity or entity';
COMMENT ON COLUMN definitions.name IS 'Its name';
COMMENT ON COLUMN definitions.code_hash IS 'The fingerprint of this version: what instances.code_hash refers to';
COMMENT ON COLUMN definitions.source IS 'Its source';
COMMENT ON COLUMN definitions.first_seen_time IS 'When this version was first defined';
