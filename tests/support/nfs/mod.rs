//! An NFS server of the kernel on a little host of its own, with an export on a
//! file system of its own, and a network to those who use it.
//!
//! ```text
//!   the server's host                            where the daemon runs
//!   nfsd, mountd, nfsdcld                        (this machine, other hosts)
//!   /srv/berth ── LoopFs on the stage
//!   bridge `lan` 10.x.y.1 ─── veth ──────────── 10.x.y.2 (this machine)
//!                         └── veth ──────────── 10.x.y.3 (the next that joins)
//! ```
//!
//! nfsd belongs to a network namespace, so each test has servers that nobody else
//! stops. The host's root is a tmpfs, since the root of the NFS 4 tree must be on
//! a file system that can be exported, and the guest's overlay cannot.
//!
//! Needs a kernel with nfsd: runs in the guest of `scripts/vm`.

mod client;
mod lan;
mod server;

#[allow(unused_imports, reason = "each test file takes the parts it needs")]
pub use self::{
    client::{Mounted, mount_command},
    lan::{Address, Lan},
    server::{Server, Setup, Squash},
};
