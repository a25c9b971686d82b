//! The only code of Berth that talks to the kernel: mounts, mount tables,
//! durable files, directories beneath an opened root, loop devices, programs, locks.
//!
//! It knows nothing of volumes, pools or records. Every function that syncs,
//! renames, links, mounts or unlinks passes a [`failpoint`] first; a test reads
//! the sources for it.
//!
//! | module | noun |
//! |---|---|
//! | [`failpoint`] | test-only switches: failpoints and saboteurs |
//! | [`durable`] | files and directory entries that survive a power cut |
//! | [`backing`] | files that stand behind a block device |
//! | [`blocks`] | image files and block devices, read as blocks |
//! | [`beneath`] | directories opened beneath a root, walks by descriptor, copies of trees |
//! | [`image`] | images of file systems, mounted to be read |
//! | [`loopdev`] | loop devices |
//! | [`command`] | external programs |
//! | [`mounts`] | the mount table, bind mounts, unmounts |
//! | [`holders`] | which processes keep a mount from going away |
//! | [`label`] | the SELinux label of a directory |
//! | [`lock`] | one daemon per root |
//! | [`boot`] | this boot's id |
//! | [`memory`] | memory that is no longer needed |
//! | [`quota`] | limits on directories |
//! | [`priority`] | how much a thread may get in the way |
//! | [`sockets`] | passed descriptors, groups of a peer |

pub mod backing;
pub mod beneath;
pub mod blocks;
pub mod boot;
pub mod command;
pub mod durable;
pub mod failpoint;
pub mod holders;
pub mod image;
pub mod label;
pub mod lock;
pub mod loopdev;
pub mod memory;
pub mod mounts;
pub mod priority;
pub mod quota;
pub mod sockets;
