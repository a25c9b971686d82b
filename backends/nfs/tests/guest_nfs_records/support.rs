//! What the tests of the project have in common, as far as it is needed here.

#[path = "../../../../tests/support/host.rs"]
pub(crate) mod host;
#[path = "../../../../tests/support/loopfs.rs"]
pub(crate) mod loopfs;
#[path = "../../../../tests/support/mounts.rs"]
pub(crate) mod mounts;
#[path = "../../../../tests/support/nfs/mod.rs"]
pub(crate) mod nfs;
#[path = "../../../../tests/support/poll.rs"]
pub(crate) mod poll;
#[path = "../../../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../../../tests/support/stage.rs"]
pub(crate) mod stage;
