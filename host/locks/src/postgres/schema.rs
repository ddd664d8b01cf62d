//! What the store keeps in the database, and the statements on it.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::Way;
use crate::{Holder, LockKey};

/// Makes the table and the sequence. A lock of its own, since two who make them at once would fail.
pub(super) const CREATE: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(hashtextextended('lockkeeper schema', 0));
    CREATE SCHEMA IF NOT EXISTS lockkeeper;
    CREATE SEQUENCE IF NOT EXISTS lockkeeper.fence;
    CREATE TABLE IF NOT EXISTS lockkeeper.holds (
        id text PRIMARY KEY,
        space text NOT NULL,
        key text NOT NULL,
        exclusive boolean NOT NULL,
        waiting boolean NOT NULL,
        holder text NOT NULL,
        token bigint NOT NULL,
        server timestamptz NOT NULL DEFAULT pg_postmaster_start_time(),
        lease_ms bigint NOT NULL,
        fence bigint,
        released boolean NOT NULL DEFAULT false
    );
    CREATE INDEX IF NOT EXISTS holds_by_key ON lockkeeper.holds (space, key);
    COMMIT;
";

const LOCK: &str = "hashtextextended('lockkeeper ' || $2 || ' ' || $3, 0)";
const JOINT: &str = "hashtextextended('lockkeeper ' || $2 || ' ' || $3, 1)";

/// Tries to lock and writes down how that went, in one statement: each part is computed once, and before what reads it.
///
/// Parameters: id, space, key, exclusive, holder, token, lease. Answers with the number and the leases to wait out.
pub(super) fn attempt(way: Way) -> String {
    let (lock, joint) = match way {
        Way::Alone => (format!("pg_try_advisory_lock({LOCK})"), format!("pg_try_advisory_lock({JOINT})")),
        Way::Shared => (format!("pg_try_advisory_lock_shared({LOCK})"), "true".to_owned()),
        // Whoever has it alone has this one too; whoever waits to have it alone waits for the other one first.
        Way::Joined => (format!("pg_try_advisory_lock_shared({JOINT})"), "true".to_owned()),
    };
    format!(
        "WITH known AS MATERIALIZED (SELECT pg_try_advisory_lock($6)),
        first AS MATERIALIZED (SELECT {lock} AS ok FROM known),
        taken AS MATERIALIZED (SELECT CASE WHEN ok THEN {joint} ELSE false END AS ok FROM first)
        INSERT INTO lockkeeper.holds (id, space, key, exclusive, waiting, holder, token, lease_ms, fence)
        SELECT $1, $2, $3, $4, NOT ok, $5, $6, $7, CASE WHEN ok THEN nextval('lockkeeper.fence') END FROM taken
        RETURNING fence, {LEFT_OVER}"
    )
}

const LEFT_OVER: &str = "(
    SELECT max(lease_ms) FROM lockkeeper.holds
    WHERE space = $2 AND key = $3 AND (exclusive OR $4) AND NOT waiting AND server <> pg_postmaster_start_time()
)";

/// Waits in the server's queue. Parameters: the longest wait in milliseconds as a text, space, key.
pub(super) fn wait(way: Way) -> String {
    let (lock, joint) = match way {
        Way::Alone => ("pg_advisory_lock", format!("pg_advisory_lock({JOINT})::text")),
        Way::Shared | Way::Joined => ("pg_advisory_lock_shared", "''".to_owned()),
    };
    format!(
        "WITH bounded AS MATERIALIZED (SELECT set_config('lock_timeout', $1, false)),
        first AS MATERIALIZED (SELECT {lock}({LOCK})::text FROM bounded)
        SELECT {joint} FROM first"
    )
}

/// Turns a wait into a hold. Parameters: id, space, key, exclusive. Answers as an attempt does.
pub(super) fn promote() -> String {
    format!(
        "UPDATE lockkeeper.holds SET waiting = false, fence = nextval('lockkeeper.fence') WHERE id = $1
        RETURNING fence, {LEFT_OVER}"
    )
}

/// Forgets the locks of a server that is no more. Parameters: space, key, exclusive.
pub(super) const FORGET: &str = "
    DELETE FROM lockkeeper.holds
    WHERE space = $1 AND key = $2 AND server <> pg_postmaster_start_time() AND (exclusive OR $3)
";

/// Lists, and removes what dead sessions of this server left. Parameters: space, key or null.
pub(super) const LIST: &str = "
    WITH seen AS MATERIALIZED (
        SELECT holds.*, server <> pg_postmaster_start_time() AS left_over, locks.pid FROM lockkeeper.holds
        LEFT JOIN pg_locks locks ON locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid::bigint = (token >> 32) & 4294967295 AND objid::bigint = token & 4294967295
        WHERE space = $1 AND ($2::text IS NULL OR key = $2)
    ),
    gone AS (
        DELETE FROM lockkeeper.holds USING seen
        WHERE holds.id = seen.id AND seen.pid IS NULL AND NOT seen.left_over
    )
    SELECT id, key, waiting, holder, pid, lease_ms FROM seen WHERE pid IS NOT NULL OR (left_over AND NOT waiting)
    ORDER BY key COLLATE \"C\", waiting, fence, id
";

pub(super) const RENEW: &str = "SELECT released FROM lockkeeper.holds WHERE id = $1";

pub(super) const END: &str = "UPDATE lockkeeper.holds SET released = true WHERE id = $1 RETURNING id";

/// The locks are free before the row is gone; it is then known as stale.
pub(super) const GIVE_BACK: &str = "
    WITH gone AS (DELETE FROM lockkeeper.holds WHERE id = $1) SELECT pg_advisory_unlock_all()::text
";

/// Somebody in line, as the table has it.
pub(super) struct Row {
    pub(super) holder: Holder,
    pub(super) pid: Option<i32>,
    pub(super) lease: Duration,
}

/// Reads a row of [`LIST`]; `None` if its key is none.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Option<Row>, tokio_postgres::Error> {
    let (id, key, waiting): (String, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (text, pid, lease): (String, Option<i32>, i64) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    let Ok(key) = LockKey::parse(&key) else { return Ok(None) };
    let holder = serde_json::from_str(&text).unwrap_or_else(|_| Holder::unknown(&key, &id));
    let lease = Duration::from_millis(u64::try_from(lease).unwrap_or(0));
    Ok(Some(Row { holder: Holder { id, key, waiting, ..holder }, pid, lease }))
}

/// Whether an error says that a wait was ended: its time was over, or somebody ended it.
pub(super) fn is_given_up(error: &tokio_postgres::Error) -> bool {
    let ended = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::ADMIN_SHUTDOWN];
    error.code().is_some_and(|code| ended.contains(code))
}

/// Whether an error says that the table was never made.
pub(super) fn is_missing(error: &tokio_postgres::Error) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_OBJECT];
    error.code().is_some_and(|code| missing.contains(code))
}
