//! Volumes on an NFS export that Berth mounts by itself.
//!
//! A pool is a tree of [`berth_tree`] that several hosts share, and every host
//! mounts its export twice:
//!
//! ```text
//! PLACE/control   `softerr`, nothing cached: all that Berth itself does
//! PLACE/data      `hard`, cached: what containers see, and nothing else
//! PLACE/data-<id> the same for one volume with mount options of its own
//! ```
//!
//! What it holds:
//! - While a server is known to be away no call touches its mounts; one that was on its
//!   way fails after a while, and none of the daemon's threads waits without end. On `softerr` a lost answer is an error,
//!   which records and sidecars are made for; a container's write on `hard` waits.
//! - What could block all the same (mounting, looking, flushing, unmounting) is done by
//!   a program that is killed, and left alone if it cannot be.
//! - The data mount shows the same directory that the control mount found: its cache is
//!   told to look again, and the inodes are compared.
//! - Content is read past the caches of the control mount: what was written through the data
//!   mount is written out first, and files are opened with `O_DIRECT` (see ARCHITECTURE).
//! - Nothing is unmounted by force: that would fail writes which wait for the server.
//!
//! | module | noun |
//! |---|---|
//! | `export` | what the configuration says of it |
//! | `gate` | who lets calls through to the mounts |
//! | `options` | mount options that may be given, and what the two mounts get |
//! | `mounting` | the programs that mount, look, flush and unmount |
//! | `mounts` | the two mounts |
//! | `own` | mounts of volumes with options of their own |
//! | `seen` | what was found of the server that decides about snapshots and owners |
//! | `share` | the export, as a [`berth_tree::Place`] |
//! | `denial` | what it means that a mount was refused |
//! | `statd` | whether files can be locked on NFS 3 |
//! | `silence` | since when the server has not answered |

mod denial;
mod export;
mod gate;
mod mounting;
mod mounts;
pub mod options;
mod own;
mod seen;
mod share;
mod silence;
mod statd;

pub use export::{Export, Version};
pub use options::Options;
pub use share::{Nfs, Share};
