//! Backups in repositories of restic's format, version 2.
//!
//! The format is documented (`doc/design.rst` of restic), and `restic`
//! reads what is written here on any computer, without Berth. This crate knows
//! repositories and what is put into them and taken out; it knows neither volumes'
//! records, nor the engine, nor configuration files.
//!
//! ```text
//! Source (tree | image) ─▶ writer ─▶ packs ─▶ index ─▶ snapshot     Store: directory | S3
//! Target (tree | image) ◀─ reader ◀─ index ◀─ tree  ◀─ snapshot
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`backup`] | what a snapshot says of the volume it is of |
//! | [`copy`] | backups into another repository |
//! | `fetch` | many blobs, in the order that they lie in packs |
//! | [`forget`] | removing backups by their ids |
//! | [`mod@format`] | the files of a repository, as bytes and JSON; no I/O |
//! | [`keys`] | what opens a repository |
//! | [`listing`] | the backups in a repository |
//! | [`lock`] | who uses a repository |
//! | [`prune`] | removing what no backup needs |
//! | [`reach`] | the blobs that snapshots need |
//! | [`retention`] | which backups a policy keeps |
//! | [`store`] | where the files are: a directory, S3 |
//! | [`repository`] | one that is open: key, files by kind, the index |
//! | [`writer`] | blobs in, packs and their index out |
//! | [`restore`] | content out of a backup |
//! | [`verify`] | reading all that backups need |
//! | [`check`] | the whole repository: is all of it there, and whole |
//! | `survey` | what snapshots are made of |
//!
//! Invariants:
//! - A snapshot is written when everything that it needs is on stable storage and
//!   in an index, and never otherwise.
//! - What is read is checked against its id before anybody uses it.
//! - Nothing is removed without an exclusive lock; nothing is added without a lock;
//!   nothing is read without one where it can be written.
//! - No panic, whatever is in a repository.

pub mod backup;
pub mod check;
pub mod copy;
mod fetch;
pub mod forget;
pub mod format;
pub mod keys;
pub mod listing;
pub mod lock;
pub mod prune;
pub mod reach;
pub mod repository;
pub mod restore;
pub mod retention;
mod room;
pub mod store;
mod survey;
pub mod verify;
pub mod writer;

pub use backup::Backup;
pub use format::Id;
pub use lock::{Lock, Reading};
pub use repository::{Password, Repository};
pub use store::{Kind, Store};
pub use writer::Writer;
