-- Which exceptions were used: how often, last when, where and by whom.
-- psql -d opa_authz [-v since='30 days'] -f exceptions.sql
\if :{?since} \else \set since '30 days' \endif
SELECT used ->> 'rule' AS rule, used ->> 'reason' AS reason, used ->> 'expires' AS expires,
       count(DISTINCT (host, decision_id)) AS requests, max(time) AS last_used,
       array_agg(DISTINCT host ORDER BY host) AS hosts, array_agg(DISTINCT who ORDER BY who) AS users
FROM opa_authz.decision, jsonb_array_elements(exceptions) AS used
WHERE verdict = 'allow' AND exceptions <> '[]' AND time > now() - :'since'::interval
GROUP BY 1, 2, 3
ORDER BY requests DESC, rule, reason;
