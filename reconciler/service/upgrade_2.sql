-- Version 1 of the database to version 2: see schema.sql for what the tables mean.
ALTER TABLE queue RENAME TO old_queue;

CREATE TABLE queue (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 33 AND id GLOB 'p*'),
    bucket     TEXT NOT NULL,
    name       TEXT NOT NULL DEFAULT 'default',
    state      TEXT NOT NULL DEFAULT 'Active' CHECK (state IN ('Active', 'Paused')),
    notify     TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    waiting    INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    closed_at  INTEGER
) STRICT;

INSERT INTO queue (id, bucket, created_at, updated_at, waiting)
SELECT id, bucket, unixepoch(), unixepoch(),
       (SELECT count(*) FROM job WHERE job.queue = old_queue.id AND job.state IN ('Submitted', 'Pause'))
FROM old_queue;
DROP TABLE old_queue;
CREATE UNIQUE INDEX queue_open ON queue (bucket) WHERE closed_at IS NULL;
CREATE INDEX queue_history ON queue (bucket, closed_at);

ALTER TABLE job ADD COLUMN resolved TEXT;
CREATE INDEX job_paused ON job (queue) WHERE state = 'Pause';

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


ALTER TABLE object RENAME TO old_object;

CREATE TABLE object (
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    etag         TEXT NOT NULL CHECK (length(etag) >= 32),
    crc64        TEXT NOT NULL,
    content_type TEXT,
    headers      TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

INSERT INTO object SELECT bucket, key, size, mtime_ns, inode, md5, crc64, content_type, headers FROM old_object;
DROP TABLE old_object;

CREATE TABLE delivery (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    job     TEXT NOT NULL REFERENCES job (id),
    target  TEXT NOT NULL,
    server  TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    due_at  REAL,
    error   TEXT
) STRICT;

CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE template (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE CHECK (length(id) = 34 AND id GLOB 't1*'),
    bucket     TEXT NOT NULL,
    tag        TEXT NOT NULL CHECK (tag IN ('Transcode', 'Watermark')),
    name       TEXT NOT NULL,
    request    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX template_listing ON template (bucket, number);

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
