//! Content that comes back out of backups.
//!
//! | module | noun or verb |
//! |---|---|
//! | `source` | the backup that a text names, and whether it fits |
//! | `latest` | which backup is the latest, where several hosts have some |
//! | `filling` | a backup's content on its way into a directory |
//! | `image` | a block volume's content on its way into a directory |
//! | `create` | `from=backup:…`: new volumes with the content of a backup |
//! | `in_place` | a volume's content exchanged for that of its backup |
//! | `host` | all volumes of a lost host |
//!
//! Invariants:
//! - What was not restored whole is nobody's volume: it is refused, made anew, or
//!   faulty until Remove clears it.
//! - A repository that is away is waited for by what was accepted; what is damaged is
//!   not.

mod create;
mod filling;
mod host;
mod image;
mod in_place;
mod latest;
mod source;

pub(super) use create::watched;

/// The kind of jobs that put content in the place of other content, or bring a host
/// back.
pub(super) const RESTORE: &str = "restore";
