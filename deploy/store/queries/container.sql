-- Who did what to one container: its creation, everything asked of it, its execs, with their outcomes.
-- Give its id, or the first 12 digits or more, and its name if it has one.
-- psql -d opa_authz -v container='4f1c2b9e8d3a,web' [-v host='web-1'] [-v since='90 days'] -f container.sql
\if :{?since} \else \set since '90 days' \endif
\if :{?host} \else \set host '%' \endif
WITH named AS (
    SELECT name FROM unnest(string_to_array(:'container', ',')) AS name
), ids AS (
    SELECT name AS id FROM named WHERE name ~ '^[0-9a-f]{12,64}$'
), creations AS (
    SELECT host, decision_id, created[1] AS id
    FROM opa_authz.outcome
    JOIN ids ON created[1] ~>=~ ids.id AND created[1] ~<~ (ids.id || 'g')
    WHERE operation = 'container.create' AND created <> '{}' AND time > now() - :'since'::interval
), written AS (
    SELECT name FROM named
    UNION
    SELECT left(id, digits) FROM (SELECT id FROM ids UNION SELECT id FROM creations) AS known,
                                 generate_series(12, length(id)) AS digits
), addressed AS (
    SELECT host, decision_id FROM creations
    UNION
    SELECT host, decision_id FROM opa_authz.decision JOIN written ON left(resource, 200) = name
    WHERE time > now() - :'since'::interval
    UNION
    SELECT host, decision_id FROM opa_authz.decision
    JOIN ids ON left(resource, 200) ~>=~ id AND left(resource, 200) ~<~ (id || 'g')
    WHERE time > now() - :'since'::interval
), execs AS (
    SELECT host, created[1] AS id FROM addressed JOIN opa_authz.outcome USING (host, decision_id)
    WHERE operation = 'exec.create' AND created <> '{}' AND time > now() - :'since'::interval
), concerned AS (
    SELECT host, decision_id FROM addressed
    UNION
    SELECT host, decision_id FROM execs JOIN opa_authz.decision USING (host)
    WHERE left(resource, 200) = id AND time > now() - :'since'::interval
)
SELECT decision.time, host, who, decision.operation, resource, verdict, outcome.status, created,
       decision.details, decision_id
FROM concerned
JOIN opa_authz.decision USING (host, decision_id)
LEFT JOIN opa_authz.outcome USING (host, decision_id)
WHERE host LIKE :'host'
ORDER BY decision.time, decision_id;
