-- The application owns its database and is no superuser. A cluster of an older version has tables and functions of the
-- superuser, which are handed over. PostgreSQL reads this file in its single-user mode: an empty line ends a statement.
DO $$ BEGIN
    IF to_regrole('allweather') IS NULL THEN CREATE ROLE allweather LOGIN; END IF;
END $$;

ALTER DATABASE allweather OWNER TO allweather;

-- What belongs to a table, such as its indexes and sequences, changes its owner with it.
DO $$ DECLARE thing text; BEGIN
    FOR thing IN
        SELECT format('TABLE %s', oid::regclass) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
        UNION ALL
        SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER %s OWNER TO allweather', thing); END LOOP;
END $$;

