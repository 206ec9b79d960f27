-- The store of decisions in PostgreSQL 15 or later; see docs/how-to/store.md. Run it as a superuser, who
-- then owns it: psql -X -v ON_ERROR_STOP=1 -d opa_authz -f schema.sql. Run again, it changes nothing.
BEGIN;

CREATE SCHEMA IF NOT EXISTS opa_authz;
CREATE EXTENSION IF NOT EXISTS sslinfo SCHEMA opa_authz;

-- One row for each line of the audit files: decisions, outcomes, and the audit file's own events.
CREATE TABLE IF NOT EXISTS opa_authz.record (
    id             text        NOT NULL,  -- the decision's id; the line's hash where there is none
    host           text        NOT NULL,  -- the name in its certificate
    event          text        NOT NULL,
    time           timestamptz NOT NULL,
    received       timestamptz NOT NULL DEFAULT now(),
    seq            bigint,                -- the line's number in the audit file, and its hash
    hash           text,
    operation      text,
    verdict        text,                  -- null in outcomes, as are the other fields of a decision
    status         integer,
    details        text,
    user_name      text,
    authentication text,
    certificate    text,
    role           text,
    method         text,
    resource       text,
    rules          text[],
    warnings       text[],
    exceptions     jsonb,
    profile        text,
    revision       text,
    engine         text,
    duration_ms    double precision,
    error          text,
    created        text[],                -- only in outcomes, as are the next two
    identical      boolean,
    elapsed_ms     double precision,
    PRIMARY KEY (id, host, event, time)
) PARTITION BY RANGE (time);

CREATE INDEX IF NOT EXISTS record_host ON opa_authz.record (host, time DESC);
CREATE INDEX IF NOT EXISTS record_seq ON opa_authz.record (host, seq);
CREATE INDEX IF NOT EXISTS record_denied ON opa_authz.record (time) WHERE verdict = 'deny';
CREATE INDEX IF NOT EXISTS record_excepted ON opa_authz.record (time) WHERE exceptions <> '[]';
-- An index holds no text of more than 2.7 kB, and clients may name what they like.
CREATE INDEX IF NOT EXISTS record_resource ON opa_authz.record (left(resource, 200) text_pattern_ops);
CREATE INDEX IF NOT EXISTS record_created ON opa_authz.record ((created[1]) text_pattern_ops)
WHERE created <> '{}';

-- Lines that are no records: cut off by a crash, of a broken or lying host, or of a version that the
-- store does not know.
CREATE TABLE IF NOT EXISTS opa_authz.refused (
    id       text        PRIMARY KEY,     -- SHA-256 of host and line
    host     text        NOT NULL,
    received timestamptz NOT NULL DEFAULT now(),
    reason   text        NOT NULL,
    line     text        NOT NULL
);

CREATE OR REPLACE VIEW opa_authz.decision AS
SELECT host, time, id AS decision_id, operation, verdict, details,
       coalesce(nullif(user_name, ''), nullif(certificate, ''), 'unix socket') AS who,
       user_name, authentication, certificate, role, method, resource, rules, warnings, exceptions,
       profile, revision, engine, duration_ms, error, seq, hash, received
FROM opa_authz.record
WHERE verdict IS NOT NULL;

-- An outcome of which no decision is known has the line's hash as decision_id.
CREATE OR REPLACE VIEW opa_authz.outcome AS
SELECT host, time, id AS decision_id, operation, status, details, user_name, method, created,
       identical, elapsed_ms, seq, hash, received
FROM opa_authz.record
WHERE event = 'finished_operation';

CREATE OR REPLACE FUNCTION opa_authz.partition(day date) RETURNS void
LANGUAGE plpgsql SET search_path = opa_authz, pg_temp AS $$
DECLARE
    name text := format('record_%s', to_char(day, 'YYYYMMDD'));
BEGIN
    IF to_regclass(name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('opa_authz.partition'));
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS opa_authz.%I PARTITION OF opa_authz.record '
            'FOR VALUES FROM (%L) TO (%L)',
            name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
        );
    END IF;
END $$;

-- JSON without the character NUL, which PostgreSQL's texts cannot have.
CREATE OR REPLACE FUNCTION opa_authz.without_nul(line text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = opa_authz, pg_temp AS $$
    SELECT regexp_replace(line, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')
$$;

-- Take one line of a host, in UTF-8. A line that is there already changes nothing. What is no record is
-- kept in opa_authz.refused; an error is raised only if the line should be tried again (a full disk).
CREATE OR REPLACE FUNCTION opa_authz.take(host text, line text) RETURNS void
LANGUAGE plpgsql SET search_path = opa_authz, pg_temp AS $$
DECLARE
    fields jsonb;
    moment timestamptz;
BEGIN
    fields := without_nul(line);
    moment := fields ->> 'timestamp';
    IF fields ->> 'source' IS DISTINCT FROM 'opa-authz' OR moment IS NULL THEN
        RAISE data_exception USING MESSAGE = 'not a line of an audit file';
    ELSIF moment NOT BETWEEN now() - interval '400 days' AND now() + interval '1 day' THEN
        RAISE data_exception USING MESSAGE = 'the time is not near that of the store';
    END IF;
    PERFORM partition((moment AT TIME ZONE 'UTC')::date);
    INSERT INTO record (
        id, host, event, time, seq, hash, operation, verdict, status, details,
        user_name, authentication, certificate, role, method, resource, rules, warnings, exceptions,
        profile, revision, engine, duration_ms, error, created, identical, elapsed_ms
    ) VALUES (
        coalesce(fields ->> 'decision_id', fields ->> 'hash'), host, fields ->> 'event', moment,
        (fields ->> 'seq')::bigint, fields ->> 'hash',
        fields ->> 'operation', fields ->> 'verdict', (fields ->> 'status')::integer,
        fields ->> 'details', fields ->> 'user', fields ->> 'authentication',
        fields ->> 'certificate', fields ->> 'role', fields ->> 'method', fields ->> 'resource',
        texts(fields -> 'rules'), texts(fields -> 'warnings'), fields -> 'exceptions',
        fields ->> 'profile', fields ->> 'policy_revision', fields ->> 'engine',
        (fields ->> 'duration_ms')::double precision, fields ->> 'error', texts(fields -> 'created'),
        (fields ->> 'identical')::boolean, (fields ->> 'elapsed_ms')::double precision
    ) ON CONFLICT ON CONSTRAINT record_pkey DO UPDATE SET seq = excluded.seq, hash = excluded.hash
    WHERE record.seq IS NULL AND excluded.seq IS NOT NULL;  -- it came from another source before
EXCEPTION
    WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
        INSERT INTO refused (id, host, reason, line)
        VALUES (encode(sha256(convert_to(host || ' ' || line, 'UTF8')), 'hex'), host, SQLERRM, line)
        ON CONFLICT DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION opa_authz.texts(list jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = opa_authz, pg_temp AS $$
    SELECT CASE WHEN jsonb_typeof(list) = 'array'
                THEN ARRAY(SELECT jsonb_array_elements_text(list)) END
$$;

-- Take one event of OPA's decision log, as the plugin has OPA upload it: the line is its input. An event
-- and the line of an audit file on the same decision or outcome are one row, if the host is the same.
CREATE OR REPLACE FUNCTION opa_authz.take_event(host text, event text) RETURNS void
LANGUAGE sql SET search_path = opa_authz, pg_temp AS $$
    SELECT take(host, coalesce(without_nul(event)::jsonb ->> 'input', event))
$$;

-- Take what an OPA has uploaded, an array of events. What is none is kept in opa_authz.refused, so that OPA
-- does not send it again for ever.
CREATE OR REPLACE FUNCTION opa_authz.take_upload(host text, events text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = opa_authz, pg_temp AS $$
BEGIN
    PERFORM take(host, coalesce(event ->> 'input', event::text))
    FROM jsonb_array_elements(without_nul(events)::jsonb) AS event;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
        INSERT INTO refused (id, host, reason, line)
        VALUES (encode(sha256(convert_to(host || ' ' || events, 'UTF8')), 'hex'), host, SQLERRM, events)
        ON CONFLICT DO NOTHING;
END $$;

-- Where a collector inserts lines, as bytes in LATIN1. The host is the one in the client's certificate;
-- only a collector on the database's own host, which has none, says which it is.
CREATE OR REPLACE VIEW opa_authz.inbox AS SELECT ''::text AS host, ''::text AS line WHERE false;

CREATE OR REPLACE FUNCTION opa_authz.take_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = opa_authz, pg_temp AS $$
DECLARE
    line text := NEW.line;
BEGIN
    BEGIN
        line := convert_from(convert_to(line, 'LATIN1'), 'UTF8');
    EXCEPTION WHEN data_exception THEN
        NULL;  -- It is no JSON either: take() keeps it as refused.
    END;
    PERFORM take(coalesce(ssl_client_dn_field('commonName'), NEW.host), line);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER take INSTEAD OF INSERT ON opa_authz.inbox
FOR EACH ROW EXECUTE FUNCTION opa_authz.take_inserted();

-- Remove the days that are older, and lines that were refused before. Run it once a day.
CREATE OR REPLACE FUNCTION opa_authz.forget(older_than interval) RETURNS integer
LANGUAGE plpgsql SET search_path = opa_authz, pg_temp AS $$
DECLARE
    last date := (now() - older_than) AT TIME ZONE 'UTC';
    name text;
    dropped integer := 0;
BEGIN
    DELETE FROM refused WHERE received < now() - older_than;
    FOR name IN
        SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent = 'opa_authz.record'::regclass
          AND to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') < last
    LOOP
        EXECUTE format('DROP TABLE %s', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- The collector and the web server may only add lines, an auditor may only read them.
DO $$
BEGIN
    IF to_regrole('opa_authz_writer') IS NULL THEN
        CREATE ROLE opa_authz_writer LOGIN;
    END IF;
    IF to_regrole('opa_authz_receiver') IS NULL THEN
        CREATE ROLE opa_authz_receiver LOGIN;
    END IF;
    IF to_regrole('opa_authz_auditor') IS NULL THEN
        CREATE ROLE opa_authz_auditor LOGIN;
    END IF;
END $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA opa_authz FROM PUBLIC;
GRANT USAGE ON SCHEMA opa_authz TO opa_authz_writer, opa_authz_receiver, opa_authz_auditor;
GRANT EXECUTE ON FUNCTION opa_authz.take_upload TO opa_authz_receiver;
GRANT INSERT ON opa_authz.inbox TO opa_authz_writer;
ALTER ROLE opa_authz_writer SET search_path = opa_authz;
GRANT SELECT ON opa_authz.record, opa_authz.refused, opa_authz.decision, opa_authz.outcome
    TO opa_authz_auditor;

COMMIT;
