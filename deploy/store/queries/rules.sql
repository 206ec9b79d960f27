-- How the denials of each rule, or of one, developed: one row for each rule and day, without gaps.
-- psql -d opa_authz [-v rule='mounts.source'] [-v days=14] -f rules.sql
\if :{?days} \else \set days 14 \endif
\if :{?rule} \else \set rule '%' \endif
WITH denials AS (
    SELECT DISTINCT (time AT TIME ZONE 'UTC')::date AS day, split_part(denial, ' ', 1) AS rule,
           host, who, decision_id
    FROM opa_authz.decision, unnest(rules) AS denial
    WHERE verdict = 'deny' AND time > now() - make_interval(days => :days)
), days AS (
    SELECT generate_series(
        (now() AT TIME ZONE 'UTC')::date - :days + 1, (now() AT TIME ZONE 'UTC')::date, interval '1 day'
    )::date AS day
)
SELECT rule, day, count(decision_id) AS denials, count(DISTINCT host) AS hosts,
       count(DISTINCT who) AS users
FROM (SELECT DISTINCT rule FROM denials WHERE rule LIKE :'rule') AS rules
CROSS JOIN days
LEFT JOIN denials USING (rule, day)
GROUP BY rule, day
ORDER BY rule, day;
