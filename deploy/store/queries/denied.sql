-- Who was denied what, newest first.
-- psql -d opa_authz [-v since='7 days'] -f denied.sql
\if :{?since} \else \set since '7 days' \endif
SELECT time, host, who, role, operation, resource, rules, details, decision_id
FROM opa_authz.decision
WHERE verdict = 'deny' AND time > now() - :'since'::interval
ORDER BY time DESC, host, decision_id;
