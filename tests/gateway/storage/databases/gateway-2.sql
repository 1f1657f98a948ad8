BEGIN TRANSACTION;
CREATE TABLE ended_sessions (
    session_id TEXT PRIMARY KEY, token TEXT NOT NULL, access_key TEXT NOT NULL,
    runtime TEXT NOT NULL, created_at TEXT NOT NULL, terminated_at TEXT NOT NULL,
    cpu_ms INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'TERMINATED', status_info TEXT NOT NULL DEFAULT '', status_data TEXT NOT NULL DEFAULT '{}', kind TEXT NOT NULL DEFAULT 'INTERACTIVE', result TEXT NOT NULL DEFAULT 'UNDEFINED', log TEXT NOT NULL DEFAULT '', slots TEXT NOT NULL DEFAULT '{}'
) STRICT;
INSERT INTO "ended_sessions" VALUES('0123456789abcdef0123456789abcdef','old','AKIAOLDOLDOLDOLDOLDO','python','2026-11-23T10:00:01+00:00','2026-11-23T10:00:09+00:00',42,'TERMINATED','','{}','INTERACTIVE','UNDEFINED','','{}');
CREATE TABLE keypairs (
    access_key TEXT PRIMARY KEY, secret_key TEXT NOT NULL, created_at TEXT NOT NULL
) STRICT;
INSERT INTO "keypairs" VALUES('AKIAOLDOLDOLDOLDOLDO','Old-secret-key-of-a-test-abcdefghijklmno','2026-11-23 10:00:00');
CREATE TABLE settings (
    access_key TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (access_key, name)
) STRICT;
INSERT INTO "settings" VALUES('AKIAOLDOLDOLDOLDOLDO','dotfiles','[]');
COMMIT;
PRAGMA user_version=2;
