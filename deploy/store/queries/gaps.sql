-- What is missing: lines of a host's audit file that never came, and lines that were refused.
-- psql -d opa_authz [-v since='7 days'] -f gaps.sql
\if :{?since} \else \set since '7 days' \endif
SELECT host, 'missing' AS what, seq + 1 AS first_line, next - 1 AS last_line, time AS after
FROM (
    SELECT host, seq, time, lead(seq) OVER (PARTITION BY host ORDER BY seq) AS next
    FROM opa_authz.record
    WHERE seq IS NOT NULL AND time > now() - :'since'::interval
) AS lines
WHERE next > seq + 1
UNION ALL
SELECT host, 'refused: ' || reason, NULL, NULL, received
FROM opa_authz.refused
WHERE received > now() - :'since'::interval
ORDER BY host, after;
