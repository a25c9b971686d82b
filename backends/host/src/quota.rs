//! Project quotas: limits on directories, kept by the file system itself.
//!
//! A directory has a *project*, a number that what is made in it inherits; the
//! file system counts what all inodes of a project take, and can limit it. Known
//! to work: ext4, XFS, f2fs.
//!
//! Two things are worth knowing:
//! - The owner of a file may give it another project, unless it is in a user
//!   namespace. A limit keeps programs from filling the disk by mistake; nothing
//!   that a volume's content says of its project may be believed.
//! - `rename(2)` into a directory that hands down another project is EXDEV.

mod call;
mod state;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use berth_api::Bytes;

pub use self::state::{State, Why};
use crate::failpoint;

/// What a file or directory says of its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Project {
    /// The project; 0 is none.
    pub id: u32,
    /// What is made in it gets the same.
    pub inherit: bool,
}

/// What a project takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Space of all its files, written or promised.
    pub used: Bytes,
    /// How many files and directories it has.
    pub files: u64,
    /// What it may take.
    pub limit: Option<Bytes>,
}

/// The project of an open file or directory; none where the file system has no
/// such thing.
///
/// # Errors
/// The kernel's.
pub fn project(file: impl AsFd) -> io::Result<Project> {
    match call::attributes(file.as_fd()) {
        Ok(found) => Ok(Project { id: found.project, inherit: found.flags & call::INHERIT != 0 }),
        Err(error) if is_unknown(&error) => Ok(Project { id: 0, inherit: false }),
        Err(error) => Err(error),
    }
}

/// Gives an open file or directory another project. What is in a directory
/// stays as it is.
///
/// # Errors
/// The kernel's.
pub fn set_project(file: impl AsFd, project: Project) -> io::Result<()> {
    let mut attributes = call::attributes(file.as_fd())?;
    attributes.project = project.id;
    attributes.flags &= !call::INHERIT;
    if project.inherit {
        attributes.flags |= call::INHERIT;
    }
    failpoint::hit("quota.set-project")?;
    call::set_attributes(file.as_fd(), &attributes)
}

/// What the project takes, on the file system that `file` lies on.
///
/// # Errors
/// The kernel's; ESRCH if projects are not counted there.
pub fn account(file: impl AsFd, id: u32) -> io::Result<Account> {
    match call::quota(file.as_fd(), id) {
        Ok(found) => Ok(Account {
            used: Bytes(found.blocks.saturating_mul(call::BLOCK)),
            files: found.inodes,
            limit: (found.hard_limit > 0)
                .then(|| Bytes(found.hard_limit.saturating_mul(call::BLOCK))),
        }),
        // Nothing was ever counted for it.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Account::default()),
        Err(error) => Err(error),
    }
}

/// Limits what the project may take; `None` takes the limit away.
///
/// # Errors
/// The kernel's; ESRCH if projects are not counted there.
pub fn set_limit(file: impl AsFd, id: u32, limit: Option<Bytes>) -> io::Result<()> {
    // 0 is everybody without a project: its "limit" is a default for all others.
    if id == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let hard_limit = limit.map_or(0, |limit| limit.0.div_ceil(call::BLOCK).max(1));
    let quota = call::Quota::limit(id, hard_limit);
    if failpoint::sabotaged("skip-limit") {
        return Ok(());
    }
    failpoint::hit("quota.set-limit")?;
    call::set_limit(file.as_fd(), &quota)
}

/// What the file system that `file` lies on does with projects.
///
/// # Errors
/// The kernel's.
pub fn state(file: impl AsFd) -> io::Result<State> {
    let file: BorrowedFd<'_> = file.as_fd();
    let flags = match call::status(file) {
        Ok(status) => status.flags,
        // Not known to the kernel, to the file system, or not in use there.
        Err(error) if is_unknown(&error) => 0,
        Err(error) => return Err(error),
    };
    if flags & call::COUNTED == 0 {
        return state::why(file).map(State::Absent);
    }
    Ok(if flags & call::ENFORCED == 0 {
        State::Counted(state::why_not_enforced(file)?)
    } else {
        State::Enforced
    })
}

/// Whether an error says that there is no such thing here.
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP | libc::EINVAL | libc::ESRCH)
    )
}
