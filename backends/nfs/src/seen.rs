//! What was found of a server that decides about snapshots and owners.

use berth_api::{Carrier, Error, Notice};

use crate::export::Export;

/// What was found when the pool was last accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// What root writes belongs to somebody else.
    pub(crate) squashed: bool,
    /// The server's file system shares data, and the version that is mounted has a call
    /// for that.
    pub(crate) shares: bool,
    /// The version that is mounted has copies on the server.
    pub(crate) copies: bool,
}

impl Seen {
    /// Who carries what cannot be shared.
    pub(crate) fn carrier(self) -> Carrier {
        if self.copies { Carrier::Server } else { Carrier::Network }
    }

    /// How snapshots and clones are made, as `pool inspect` has it.
    pub(crate) fn snapshots(self) -> &'static str {
        match self {
            Self { squashed: true, .. } => "none (root_squash)",
            Self { shares: true, .. } => "shared by the server",
            Self { copies: true, .. } => "copied by the server",
            Self { .. } => "copied through this host",
        }
    }

    /// What could be better.
    pub(crate) fn notice(self, export: &Export) -> Option<Notice> {
        match self {
            Self { squashed: true, .. } => {
                let absent = "`uid=`, `gid=`, snapshots, clones, backups and restores are refused";
                Some(Notice::warning(format!("{}; {absent}", squashed(export)), unsquashed(export)))
            }
            Self { shares: true, .. } => None,
            Self { copies: true, .. } => Some(Notice::note(
                "the server's file system cannot share data: snapshots and clones are copies, \
                 made by the server",
                "export a directory on XFS with reflink, or Btrfs",
            )),
            Self { .. } => Some(Notice::note(
                "this version of NFS has no clones: snapshots and clones are copies, and all of \
                 their data passes this host",
                "serve NFS 4.2, from XFS with reflink or Btrfs",
            )),
        }
    }
}

/// Why what needs root is refused.
pub(crate) fn no_root(export: &Export) -> Error {
    Error::unsupported(squashed(export)).with_hint(unsquashed(export))
}

fn squashed(export: &Export) -> String {
    format!(
        "the server of `{export}` takes root for nobody (root_squash): what others own cannot be \
         read, and nothing can be given to them"
    )
}

/// The line of the server's `/etc/exports` with which it is possible.
fn unsquashed(export: &Export) -> String {
    format!(
        "export it to the hosts that run Berth with `no_root_squash`, as in /etc/exports:\n\
         {} HOST(rw,sync,no_subtree_check,no_root_squash)",
        export.path()
    )
}
