//! Who is at the other end of a connection, and who may use the control socket.

use berth_api::Error;
use nix::unistd::{Group, geteuid};
use tokio::net::UnixStream;

/// The group whose members may use the sockets.
pub const GROUP: &str = "berth";

/// The peer's credentials when it connected, as the kernel has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its user; `None` if the kernel did not say.
    pub uid: Option<u32>,
    /// All its groups.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Who is connected to `stream`.
    pub fn of(stream: &UnixStream) -> Self {
        let Ok(credentials) = stream.peer_cred() else { return Self::default() };
        // Without supplementary groups (an old kernel) the primary one counts.
        let mut groups = berth_host::sockets::peer_groups(stream).unwrap_or_default();
        groups.push(credentials.gid());
        Self { uid: Some(credentials.uid()), groups }
    }
}

/// Who may use a socket: root, the daemon's own user, the group `berth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    user: u32,
    group: Option<u32>,
}

impl Guard {
    /// The guard of this process.
    pub fn new() -> Self {
        Self { user: geteuid().as_raw(), group: group() }
    }

    /// Lets root, `user` and members of `group` in.
    pub fn of(user: u32, group: Option<u32>) -> Self {
        Self { user, group }
    }

    /// Refuses everybody else.
    ///
    /// # Errors
    /// `Unavailable`, with who was refused.
    pub fn admit(&self, peer: &Peer) -> Result<(), Error> {
        let Some(uid) = peer.uid else {
            return Err(Error::unavailable("control socket: the caller is not known"));
        };
        let member = self.group.is_some_and(|group| peer.groups.contains(&group));
        if uid == 0 || uid == self.user || member {
            return Ok(());
        }
        Err(Error::unavailable(format!("control socket: user {uid} may not use it"))
            .with_hint("use sudo, or add the user to the group `berth`"))
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

/// The id of the group `berth`, if there is one.
pub fn group() -> Option<u32> {
    Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { uid: Some(uid), groups: groups.to_vec() }
    }

    #[test]
    fn root_the_own_user_and_the_group_are_let_in() {
        let guard = Guard::of(500, Some(70));
        assert!(guard.admit(&peer(0, &[0])).is_ok());
        assert!(guard.admit(&peer(500, &[500])).is_ok());
        assert!(guard.admit(&peer(1000, &[1000, 70])).is_ok());
    }

    #[test]
    fn everybody_else_is_refused() {
        let guard = Guard::of(0, Some(70));
        let error = guard.admit(&peer(1000, &[1000, 0])).expect_err("a stranger");
        assert_eq!(error.chain(), "control socket: user 1000 may not use it");
        assert!(guard.admit(&Peer::default()).is_err(), "no credentials");
        // Without a group `berth`, none is a member of it.
        assert!(Guard::of(0, None).admit(&peer(1000, &[0, 70])).is_err());
    }

    #[tokio::test]
    async fn the_kernel_says_who_is_connected() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let peer = Peer::of(&ours);
        assert_eq!(peer.uid, Some(geteuid().as_raw()));
        assert!(peer.groups.contains(&nix::unistd::getegid().as_raw()));
        assert!(Guard::new().admit(&peer).is_ok());
    }
}
