-- Every statement the hub runs, by name. `{...}` is filled with a list of placeholders or conditions, never with values.

-- name: hub_row
SELECT application, schema_version, watermark FROM hub

-- name: create_hub
INSERT INTO hub VALUES ('dfnb', ?, ?, -1)

-- name: set_watermark
UPDATE hub SET watermark = ?

-- name: counters
SELECT
    greatest(
        watermark, (SELECT coalesce(max(pos), -1) FROM event), (SELECT coalesce(max(pos), -1) FROM operation),
        (SELECT coalesce(max(pos), -1) FROM http_exchange)),
    greatest(
        (SELECT coalesce(max(key), 0) FROM instance), (SELECT coalesce(max(instance), 0) FROM event),
        (SELECT coalesce(max(key), 0) FROM entity), (SELECT coalesce(max(entity), 0) FROM operation))
FROM hub

-- name: has_event
SELECT 1 FROM event WHERE pos = $1 UNION ALL SELECT 1 FROM operation WHERE pos = $1
UNION ALL SELECT 1 FROM http_exchange WHERE pos = $1

-- name: changed_since
SELECT DISTINCT instance FROM event WHERE pos > ?

-- name: open_instances
SELECT key, id, name, status, generation, created_at, updated_at, started_pos, ended_pos, custom_status, parent_id, code, waits, held
FROM instance WHERE status NOT IN ('Completed', 'Failed', 'Terminated', 'Canceled') ORDER BY key

-- name: open_start_events
SELECT i.key, e.name, e.data FROM instance i JOIN event e ON e.pos = i.started_pos
WHERE i.status NOT IN ('Completed', 'Failed', 'Terminated', 'Canceled') AND (i.parent_id IS NOT NULL OR i.status IN ('Pending', 'Suspended'))

-- name: open_tasks
SELECT e.instance, e.task, arg_max(e.kind, e.pos) AS last, arg_max(e.name, e.pos), arg_max(e.data, e.pos), arg_max(e.happened_at, e.pos),
    count(*) FILTER (e.kind IN (4, 7, 43, 50)), any_value(e.name) FILTER (e.kind IN (4, 7, 43, 50))
FROM event e JOIN instance i ON i.key = e.instance AND i.generation = e.generation
WHERE e.task IS NOT NULL AND e.turn >= 0 AND i.status NOT IN ('Completed', 'Failed', 'Terminated', 'Canceled')
GROUP BY e.instance, e.task HAVING last IN (4, 7, 10, 43, 47, 48, 50)

-- name: open_pending
WITH turns AS (
    SELECT e.instance, e.generation, max(e.turn) AS turn, max(e.pos) FILTER (e.turn > 0) AS pos
    FROM event e JOIN instance i ON i.key = e.instance AND i.generation = e.generation
    WHERE i.status NOT IN ('Completed', 'Failed', 'Terminated', 'Canceled') GROUP BY e.instance, e.generation
)
SELECT t.instance, t.turn, e.kind, e.task, e.took, e.name, e.data
FROM turns t LEFT JOIN event e
    ON e.instance = t.instance AND e.generation = t.generation AND e.turn = 0 AND e.pos > coalesce(t.pos, -1)
ORDER BY t.instance, e.pos

-- name: events_of
SELECT instance, pos, generation, turn, happened_at, kind, task, took, name, data FROM event
WHERE instance IN ({}) ORDER BY instance, pos

-- name: histories
SELECT instance, generation, turn, happened_at, kind, task, took, name, data FROM event
WHERE instance IN ({}) AND pos >= ? ORDER BY instance, pos

-- name: history_of
SELECT generation, turn, happened_at, kind, task, took, name, data, pos FROM event WHERE instance = ? AND pos > ? ORDER BY pos

-- name: find_instance
SELECT key, id, name, status, generation, created_at, updated_at, started_pos, ended_pos, custom_status, parent_id, code, waits, held
FROM instance WHERE id_hash = ?

-- name: find_instances
SELECT key, id, name, status, generation, created_at, updated_at, started_pos, ended_pos, custom_status, parent_id, code, waits, held
FROM (SELECT unnest(?) AS hash) wanted JOIN instance i ON i.id_hash = wanted.hash

-- name: list_instances
SELECT key, id, name, status, generation, created_at, updated_at, started_pos, ended_pos, custom_status, parent_id, code, waits, held
FROM instance WHERE {} ORDER BY created_at DESC, key DESC LIMIT ?

-- name: is_among_newest
created_at >= (SELECT list_min(max(created_at, {})) FROM instance WHERE {})

-- name: list_instances_and_entities
SELECT * FROM (
    SELECT key, id, name, status, generation, created_at, updated_at, started_pos, ended_pos, custom_status, parent_id, code, waits,
        held
    FROM instance
    UNION ALL
    SELECT key, id, '@' || name, 'Running', 0, created_at, updated_at, -1, NULL, CAST(json_object(
        'entityExists', state IS NOT NULL, 'queueSize', waiting, 'lockedBy', json_extract_string(lock, '$.id')) AS VARCHAR),
        NULL, NULL, NULL, NULL
    FROM entity
)
WHERE {} ORDER BY created_at DESC, key DESC LIMIT ?

-- name: count_instances
SELECT status, count(*) FROM instance GROUP BY status ORDER BY status

-- name: count_by_name
SELECT name, status, count(*), min(created_at), max(created_at) FROM instance WHERE {} GROUP BY name, status ORDER BY name, status

-- name: over_time
SELECT CAST(({} - ?) // ? AS INTEGER) AS span, status, count(*) FROM instance WHERE {} GROUP BY span, status

-- name: durations
SELECT name, count(*), count(*) FILTER (ended_pos IS NULL), count(*) FILTER (status = 'Failed'), avg(took), median(took),
    quantile_cont(took, 0.95), max(took), min(created_at), max(updated_at)
FROM (SELECT *, CASE WHEN status = 'Completed' THEN updated_at - created_at END AS took FROM instance)
WHERE {} GROUP BY name ORDER BY count(*) DESC, name

-- name: count_entities
SELECT name, count(*) FILTER (state IS NOT NULL), CAST(sum(waiting) AS BIGINT) FROM entity GROUP BY name ORDER BY name

-- name: purgeable
SELECT key FROM instance WHERE {}

-- name: payloads
SELECT e.pos, e.kind, e.name, e.data FROM (SELECT unnest(?) AS pos) wanted JOIN event e ON e.pos = wanted.pos

-- name: logs_of
SELECT task, attempt, happened_at, stream, text FROM log WHERE instance = ? ORDER BY happened_at

-- name: delete_events
DELETE FROM event WHERE instance IN ({})

-- name: delete_logs
DELETE FROM log WHERE instance IN ({})

-- name: delete_instances
DELETE FROM instance WHERE key IN ({})

-- name: replaced_instances
SELECT key FROM instance WHERE key NOT IN (SELECT max(key) FROM instance GROUP BY id)

-- name: save_definition
INSERT INTO definition VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: definition_source
SELECT source FROM definition WHERE kind = ? AND name = ? AND fingerprint = ?

-- name: find_entities
SELECT key, id, state, created_at, updated_at, arrived, operations, waiting, lock, lock_number, oldest_pos
FROM (SELECT unnest(?) AS hash) wanted JOIN entity e ON e.id_hash = wanted.hash

-- name: list_entities
SELECT key, id, {} AS state, created_at, updated_at, arrived, operations, waiting, lock, lock_number, oldest_pos
FROM entity WHERE {} ORDER BY key LIMIT ?

-- name: concerned_entities
SELECT key, id, state, created_at, updated_at, arrived, operations, waiting, lock, lock_number, oldest_pos
FROM entity WHERE waiting > 0 OR lock IS NOT NULL OR key IN (SELECT entity FROM operation WHERE pos > ?)

-- name: operations_since
SELECT pos, entity, number, kind, happened_at, data, mode, sent_at, name, caller, input, header
FROM operation WHERE pos >= ? ORDER BY pos

-- name: operations_of
SELECT number, arg_max(kind, pos), any_value(mode), any_value(name), any_value(sent_at), min(happened_at) FILTER (kind > 1),
    any_value(took), any_value(caller), any_value(input), arg_max(data, pos)
FROM operation WHERE entity = ? AND kind NOT IN (0, 7) GROUP BY number ORDER BY number DESC LIMIT ?

-- name: empty_entities
SELECT key FROM entity WHERE state IS NULL AND waiting = 0 AND lock IS NULL

-- name: bodies
SELECT hash, text, data FROM http_body WHERE hash IN (SELECT unnest(?))

-- name: body_hashes
SELECT hash FROM http_body

-- name: latest_work
-- what came of the latest time the call was asked for: a rewind asks anew, and a cancel request is no part of it
WITH asked AS (
    SELECT instance, generation, task, max(pos) AS pos FROM event
    WHERE kind = 50 AND instance IN (SELECT unnest($1)) GROUP BY instance, generation, task
)
SELECT x.instance, x.generation, x.task, arg_max(x.work, x.pos), arg_max(x.due_at, x.pos), max(x.attempt)
FROM http_exchange x JOIN asked a ON a.instance = x.instance AND a.generation = x.generation AND a.task = x.task AND x.pos > a.pos
WHERE x.instance IN (SELECT unnest($1)) AND x.purpose <> 'cancel' AND x.work IS NOT NULL GROUP BY x.instance, x.generation, x.task

-- name: open_cancels
SELECT instance, generation, task, arg_max(work, pos), max(attempt) FROM http_exchange WHERE purpose = 'cancel'
GROUP BY instance, generation, task HAVING arg_max(coalesce(work, ''), pos) <> ''

-- name: exchanges_of
SELECT generation, task, attempt, purpose, sent_at, took, method, url, request_headers, request_body, request_hash, status,
    response_headers, response_body, response_hash, asked, due_at, note, error
FROM (SELECT * FROM http_exchange WHERE instance = ? AND method <> '' ORDER BY pos DESC LIMIT ?) ORDER BY pos

-- name: exchange_lines_of
SELECT pos, generation, task, attempt, purpose, sent_at, took, method, url, status, response_bytes, asked, due_at, note, error
FROM http_exchange WHERE instance = ? AND method <> '' AND pos > ? ORDER BY pos

-- name: exchange_at
SELECT generation, task, attempt, purpose, sent_at, took, method, url, request_headers, request_body, request_hash, status,
    response_headers, response_body, response_hash, asked, due_at, note, error
FROM http_exchange WHERE instance = ? AND pos = ?

-- name: calls_of
SELECT generation, task, requests, polls, latest.status, latest.due_at, latest.note, latest.error FROM (
    SELECT generation, task, count(*) AS requests, count(*) FILTER (purpose = 'poll') AS polls, max(pos) AS pos,
        arg_max({status: status, due_at: due_at, note: note, error: error}, pos) AS latest
    FROM http_exchange WHERE instance = ? AND method <> '' GROUP BY generation, task
) ORDER BY pos DESC LIMIT ?

-- name: paused_hosts
SELECT url, max(sent_at + took + least(asked, ?)) FROM http_exchange
WHERE status IN (429, 503) AND asked IS NOT NULL AND sent_at > ? GROUP BY url

-- name: hub_key
SELECT value FROM hub_key WHERE name = ?

-- name: forget_hub_key
DELETE FROM hub_key WHERE name = ?

-- name: save_hub_key
INSERT INTO hub_key VALUES (?, ?)

-- name: delete_exchanges
DELETE FROM http_exchange WHERE instance IN ({})

-- name: delete_unused_bodies
DELETE FROM http_body WHERE hash NOT IN (
    SELECT request_hash FROM http_exchange WHERE request_hash IS NOT NULL
    UNION SELECT response_hash FROM http_exchange WHERE response_hash IS NOT NULL
    UNION SELECT name FROM event WHERE kind IN (51, 52) AND name IS NOT NULL
    UNION SELECT unnest(?)
) RETURNING hash

-- name: delete_operations
DELETE FROM operation WHERE entity IN ({})

-- name: delete_entities
DELETE FROM entity WHERE key IN ({})
