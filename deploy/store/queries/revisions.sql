-- Which hosts decide by which policy revision, and which did before. A host's last row is in force.
-- psql -d opa_authz [-v since='7 days'] -f revisions.sql
\if :{?since} \else \set since '7 days' \endif
SELECT host, revision, profile, min(time) AS first_decision, max(time) AS last_decision,
       count(*) AS decisions,
       max(time) = max(max(time)) OVER (PARTITION BY host) AS in_force
FROM opa_authz.decision
WHERE revision <> '' AND time > now() - :'since'::interval
GROUP BY host, revision, profile
ORDER BY host, last_decision;
