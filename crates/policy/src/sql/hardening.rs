//! What is taken from PUBLIC, that is from every role that was not given it by name.
//!
//! Selected by catalog query, not by a list of names, so that a later server's new functions are covered.
//!
//! # Source
//!
//! GATEWAY.md, §3: rows 3 to 6, 12, 13, 23 and 29 of the bypass list.

/// Which functions of `pg_catalog` PUBLIC may not execute, as a condition on `pg_proc p`.
///
/// Volatile ones reach beyond the statement (settings, notifications, locks, files, other sessions), but for a few, of
/// which `pg_advisory_unlock_all` gives up the caller's own locks, as pools do; the named ones run SQL from strings, count
/// hidden rows, or print definitions.
pub const REVOKED_FUNCTIONS: &str = "p.pronamespace = 'pg_catalog'::regnamespace AND (\
    (p.provolatile = 'v' AND p.proname NOT IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_is_in_recovery', 'pg_advisory_unlock_all')) \
    OR p.proname ~ '_to_xml|ts_stat|ts_rewrite|pg_stat_get_|^lo_|pg_get_(viewdef|ruledef|functiondef)|_size')";

/// Which views of `pg_catalog` PUBLIC may not read, as a condition on `pg_class c`: other sessions' statements, and counts
/// of hidden rows.
pub const REVOKED_VIEWS: &str = "c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'v' \
    AND (c.relname ~ '^pg_statio?_' OR c.relname IN ('pg_locks', 'pg_prepared_xacts', 'pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs'))";

/// The hardening, as the body of a `DO` block; running it again changes nothing.
///
/// A managed service may refuse some of it to anyone but itself: then it warns, `drift` reports what PUBLIC still holds,
/// and the gateway's own list of what it lets through must stand alone.
pub const HARDENING: &str = r"DECLARE
  object record;
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  FOR object IN SELECT n.nspname FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE a.grantee = 0)
    ORDER BY 1
  LOOP
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', object.nspname);
  END LOOP;
  FOR object IN SELECT l.lanname FROM pg_language l
    WHERE EXISTS (SELECT FROM aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a WHERE a.grantee = 0)
      AND l.lanpltrusted ORDER BY 1
  LOOP
    EXECUTE format('REVOKE ALL ON LANGUAGE %I FROM PUBLIC', object.lanname);
  END LOOP;
  FOR object IN SELECT p.oid::regprocedure AS name, p.prokind FROM pg_proc p
    WHERE {functions}
      AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
    ORDER BY p.oid
  LOOP
    BEGIN
      EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', object.name);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'PUBLIC keeps EXECUTE on %', object.name;
    END;
  END LOOP;
  FOR object IN SELECT c.oid::regclass AS name FROM pg_class c
    WHERE {views} AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0)
    ORDER BY c.oid
  LOOP
    BEGIN
      EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', object.name);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'PUBLIC keeps SELECT on %', object.name;
    END;
  END LOOP;
  -- Row counts that ANALYZE left behind count hidden rows too; every other column is granted on its own.
  IF EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 'pg_catalog.pg_class'::regclass AND a.grantee = 0) THEN
    BEGIN
      EXECUTE 'REVOKE SELECT ON TABLE pg_catalog.pg_class FROM PUBLIC';
      EXECUTE (SELECT format('GRANT SELECT (%s) ON TABLE pg_catalog.pg_class TO PUBLIC', string_agg(quote_ident(attname), ', ' ORDER BY attnum))
        FROM pg_attribute WHERE attrelid = 'pg_catalog.pg_class'::regclass
          AND attname NOT IN ('reltuples', 'relpages', 'relallvisible', 'relallfrozen'));
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'PUBLIC keeps SELECT on all columns of pg_class';
    END;
  END IF;
END";
