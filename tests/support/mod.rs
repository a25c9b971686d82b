//! What every black-box test stands on: a stage that cleans up after itself, the
//! daemon as a process, its two sockets, a real Docker Engine on a little host
//! of its own, and polling with a deadline.
//!
//! It knows the contract and the wire, nothing of Berth's insides.
//!
//! ```text
//! Stage ── a folder under /var/tmp (KEEP=1 keeps it)
//!   ├─ Daemon   berth, straight on this machine or on a Host
//!   ├─ Host     own mounts, processes, network and /run: dies as a whole
//!   │    ├─ Engine   containerd + dockerd + the docker command line
//!   │    └─ nfs::Server   the kernel's NFS server, its export and its network
//!   └─ Server   a socket in this process: tee proxy, or a fake plugin
//! ```
//!
//! Guards are dropped in reverse order of their making, so make the stage first.

#![allow(dead_code, reason = "each test file takes the parts it needs")]
#![allow(unreachable_pub, reason = "one source for many test crates")]

pub mod campaign;
pub mod catalog;
pub mod client;
pub mod compose;
pub mod content;
pub mod copies;
pub mod daemon;
pub mod docker;
pub mod guest;
pub mod host;
pub mod house;
pub mod http;
pub mod kept;
pub mod load;
pub mod loopfs;
pub mod machine;
pub mod managed;
pub mod model;
pub mod mounts;
pub mod namespace;
pub mod nfs;
pub mod operation;
pub mod pause;
pub mod poll;
pub mod process;
pub mod proxy;
pub mod random;
pub mod rig;
pub mod scene;
pub mod script;
pub mod server;
pub mod stage;
pub mod story;
pub mod vm;
pub mod volume;
pub mod worker;
pub mod world;
