//! The host crate against a real kernel. Needs root.

#![expect(clippy::unwrap_used, reason = "tests")]

mod beneath;
mod holders;
mod mounts;
mod stage;
mod tour;
