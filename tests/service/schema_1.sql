-- The embedded service's database. Times are seconds since 1970, UTC. Read by database.py; the version is SCHEMA_VERSION.

-- One queue a bucket; it is made when the bucket's first job is submitted.
CREATE TABLE queue (
    id     TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 33 AND id GLOB 'p*'),
    bucket TEXT NOT NULL UNIQUE
) STRICT;

-- A job stays in this table for good: a submission in doubt is looked for here.
--
--     Submitted ──claim──▶ Running ──▶ Success | Failed
--        │  ▲                 │
--        │  └─release, rescue─┘
--        └──cancel──▶ Cancel            (Pause waits like Submitted, but is not claimed)
CREATE TABLE job (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,              -- order of submission
    id           TEXT NOT NULL UNIQUE CHECK (length(id) = 33 AND id GLOB 'j*'),
    bucket       TEXT NOT NULL,
    queue        TEXT NOT NULL REFERENCES queue (id),
    tag          TEXT NOT NULL,
    request      TEXT NOT NULL,                                  -- the request with this one operation, as XML
    priority     INTEGER NOT NULL DEFAULT 0,
    state        TEXT NOT NULL DEFAULT 'Submitted'
                 CHECK (state IN ('Submitted', 'Running', 'Success', 'Failed', 'Pause', 'Cancel')),
    attempt      INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    progress     INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    created_at   INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER,
    code         TEXT,                                           -- why it failed
    message      TEXT,
    media_info   TEXT,                                           -- what was made, as XML
    media_result TEXT,
    CHECK ((ended_at IS NULL) = (state IN ('Submitted', 'Running', 'Pause'))),
    CHECK (state NOT IN ('Running', 'Success') OR started_at IS NOT NULL),
    CHECK (state NOT IN ('Submitted', 'Pause') OR (started_at IS NULL AND progress = 0)),
    CHECK ((state = 'Failed') = (code IS NOT NULL) AND (code IS NULL) = (message IS NULL)),
    CHECK ((state = 'Success') = (media_info IS NOT NULL) AND (media_info IS NULL) = (media_result IS NULL)),
    CHECK (state <> 'Success' OR progress = 100)
) STRICT;

CREATE INDEX job_waiting ON job (priority DESC, number) WHERE state = 'Submitted';
CREATE INDEX job_running ON job (number) WHERE state = 'Running';
CREATE INDEX job_listing ON job (bucket, number);

-- What is known of an object that its file does not say. It holds for the file of exactly this size, time and inode;
-- a file that a person has put in its place is another object.
CREATE TABLE object (
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    md5          TEXT NOT NULL CHECK (length(md5) = 32),
    crc64        TEXT NOT NULL,                                  -- unsigned decimal; too large for an INTEGER
    content_type TEXT,                                           -- as the writer named it; otherwise by the key's suffix
    headers      TEXT NOT NULL DEFAULT '{}',                     -- other headers to give back, as JSON
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

-- Temporary files that may be lying in the buckets: the row is written before the file and removed after it.
CREATE TABLE partial (
    bucket TEXT NOT NULL,
    path   TEXT NOT NULL,                                        -- relative to the bucket's folder
    PRIMARY KEY (bucket, path)
) STRICT, WITHOUT ROWID;
