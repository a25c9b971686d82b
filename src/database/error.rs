//! SQLite's errors, as the kinds a caller can act on.

use berth_api::{Error, ErrorKind};
use rusqlite::ffi::ErrorCode;

/// The error of SQLite, met while doing `what`.
pub fn from_sqlite(source: rusqlite::Error, what: &str) -> Error {
    let kind = match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::Exhausted,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked,
        ) => ErrorKind::Unavailable,
        Some(ErrorCode::ConstraintViolation) => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    let error = Error::new(kind, what).with_source(source);
    match kind {
        ErrorKind::Exhausted => error.with_hint("free some space on the disk of Berth's root"),
        ErrorKind::Unavailable => {
            error.with_hint("`berth doctor` looks at the disk of Berth's root")
        }
        _ => error,
    }
}
