-- The embedded service's database. Times are seconds since 1970, UTC. Read by database.py; the version is SCHEMA_VERSION.

-- A bucket that processes media has one open queue. It is made when the bucket's first job is submitted, or the queue
-- is first asked for; a bucket with closed queues only has had media processing switched off.
CREATE TABLE queue (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 33 AND id GLOB 'p*'),
    bucket     TEXT NOT NULL,
    name       TEXT NOT NULL DEFAULT 'default',
    state      TEXT NOT NULL DEFAULT 'Active' CHECK (state IN ('Active', 'Paused')),
    notify     TEXT,                                             -- the NotifyConfig as XML
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    waiting    INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),  -- jobs that are Submitted or Pause; kept by triggers
    closed_at  INTEGER                                           -- when media processing was switched off
) STRICT;

CREATE UNIQUE INDEX queue_open ON queue (bucket) WHERE closed_at IS NULL;
CREATE INDEX queue_history ON queue (bucket, closed_at);

-- A job stays in this table for good: a submission in doubt is looked for here.
--
--     Submitted ──claim──▶ Running ──▶ Success | Failed
--        │  ▲                 │
--        │  └─release, rescue─┘
--        └──cancel──▶ Cancel            (Pause waits like Submitted in a paused queue, and is not claimed)
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
    resolved     TEXT,                                           -- the request with its templates put in, if it has any
    CHECK ((ended_at IS NULL) = (state IN ('Submitted', 'Running', 'Pause'))),
    CHECK (state NOT IN ('Running', 'Success') OR started_at IS NOT NULL),
    CHECK (state NOT IN ('Submitted', 'Pause') OR (started_at IS NULL AND progress = 0)),
    CHECK ((state = 'Failed') = (code IS NOT NULL) AND (code IS NULL) = (message IS NULL)),
    CHECK ((state = 'Success') = (media_info IS NOT NULL) AND (media_info IS NULL) = (media_result IS NULL)),
    CHECK (state <> 'Success' OR progress = 100)
) STRICT;

CREATE INDEX job_waiting ON job (priority DESC, number) WHERE state = 'Submitted';
CREATE INDEX job_paused ON job (queue) WHERE state = 'Pause';
CREATE INDEX job_running ON job (number) WHERE state = 'Running';
CREATE INDEX job_listing ON job (bucket, number);

-- How many jobs wait is asked at every submission, so it is counted as they come and go.
CREATE TRIGGER job_comes AFTER INSERT ON job WHEN NEW.state IN ('Submitted', 'Pause')
BEGIN
    UPDATE queue SET waiting = waiting + 1 WHERE id = NEW.queue;
END;

CREATE TRIGGER job_leaves AFTER UPDATE OF state ON job
WHEN OLD.state IN ('Submitted', 'Pause') AND NEW.state NOT IN ('Submitted', 'Pause')
BEGIN
    UPDATE queue SET waiting = waiting - 1 WHERE id = NEW.queue;
END;

CREATE TRIGGER job_returns AFTER UPDATE OF state ON job
WHEN OLD.state NOT IN ('Submitted', 'Pause') AND NEW.state IN ('Submitted', 'Pause')
BEGIN
    UPDATE queue SET waiting = waiting + 1 WHERE id = NEW.queue;
END;

-- Callbacks that are still to be delivered, or were given up. The row is written with the end of its job, in one
-- transaction, and goes when the callback is delivered.
CREATE TABLE delivery (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    job     TEXT NOT NULL REFERENCES job (id),
    target  TEXT NOT NULL,                                       -- where to and in which format, as JSON
    server  TEXT NOT NULL,                                       -- who is slow when it is slow: host and port, or the means
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),     -- attempts made
    due_at  REAL,                                                -- the next attempt; NULL when it was given up
    error   TEXT                                                 -- why the last attempt failed
) STRICT;

CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE template (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,                -- order of creation
    id         TEXT NOT NULL UNIQUE CHECK (length(id) = 34 AND id GLOB 't1*'),
    bucket     TEXT NOT NULL,
    tag        TEXT NOT NULL CHECK (tag IN ('Transcode', 'Watermark')),
    name       TEXT NOT NULL,
    request    TEXT NOT NULL,                                    -- the request that created or last updated it, as XML
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX template_listing ON template (bucket, number);

-- What is known of an object that its file does not say. It holds for the file of exactly this size, time and inode;
-- a file that a person has put in its place is another object.
CREATE TABLE object (
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    etag         TEXT NOT NULL CHECK (length(etag) >= 32),       -- without quotes; of parts or the MD5 of the content
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

-- Multipart uploads that were begun and neither completed nor aborted. The bytes of a part lie in a file of its own
-- outside the buckets, so that nothing shows before the upload is complete.
CREATE TABLE upload (
    id           TEXT NOT NULL PRIMARY KEY,
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    initiated_at INTEGER NOT NULL,
    content_type TEXT,
    headers      TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_listing ON upload (bucket, key, id);

CREATE TABLE part (
    upload      TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL CHECK (number BETWEEN 1 AND 10000),
    size        INTEGER NOT NULL,
    md5         TEXT NOT NULL CHECK (length(md5) = 32),
    crc64       TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
