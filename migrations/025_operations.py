"""The processes that run, what they do, and measurements, for operators."""

# What is lost after a crash of PostgreSQL is written again within seconds, so it need not be in the write-ahead log.
_SCHEMA = """
CREATE UNLOGGED TABLE processes (
    id           varchar(32)  PRIMARY KEY,
    kind         varchar(20)  NOT NULL,
    name         varchar(40)  NOT NULL,
    version      varchar(40)  NOT NULL,
    host         varchar(255) NOT NULL,
    pid          integer      NOT NULL,
    started_at   timestamptz  NOT NULL DEFAULT now(),
    heartbeat_at timestamptz  NOT NULL DEFAULT now(),
    memory_bytes bigint,
    sockets      integer
);

-- How often something happened in a minute, and how long it took: the number of cases in each class of durations.
CREATE UNLOGGED TABLE activity (
    kind    varchar(10)  NOT NULL CHECK (kind IN ('request', 'job', 'count')),
    name    varchar(200) NOT NULL,
    minute  timestamptz  NOT NULL,
    number  bigint       NOT NULL,
    refused bigint       NOT NULL,
    failed  bigint       NOT NULL,
    classes bigint[]     NOT NULL,
    PRIMARY KEY (minute, kind, name)
);

CREATE TABLE measurements (
    name  varchar(60)      NOT NULL,
    at    timestamptz      NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (at, name)
);
"""


def migrate(migrator, database, *, fake=False):
    """Create the tables."""
    migrator.sql(_SCHEMA)


def rollback(migrator, database, *, fake=False):
    """Drop them."""
    migrator.sql("DROP TABLE measurements, activity, processes")
