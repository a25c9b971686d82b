//! What the standard library leaves out of unix sockets: descriptors that a
//! service manager passed, and the groups of a peer.

use std::{
    collections::BTreeSet,
    io, mem,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
};

/// Descriptors that were adopted already: a second owner would close the first
/// one's.
static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes over the descriptor `number` that this process was started with.
///
/// # Errors
/// If it is not open, is one of the three standard streams, or was adopted
/// before.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if number < 3 {
        return refused("standard streams are not adopted");
    }
    // SAFETY: F_GETFD reads a flag of a descriptor number, open or not.
    #[expect(unsafe_code, reason = "the number is not an owned descriptor yet")]
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    if !ADOPTED.lock().unwrap_or_else(PoisonError::into_inner).insert(number) {
        return refused("the descriptor was adopted before");
    }
    // SAFETY: the descriptor is open, and each number is given an owner at most
    // once. Callers name what the service manager passed at exec, which nothing
    // in this process opened or owns.
    #[expect(unsafe_code, reason = "the environment can only name descriptors by number")]
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(owned)
}

/// The supplementary groups that the peer of a connected unix socket had when
/// it connected (`SO_PEERGROUPS`, since Linux 4.13).
///
/// # Errors
/// The kernel's.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let descriptor = socket.as_fd().as_raw_fd();
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let capacity = groups.len() * mem::size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(capacity).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes, which the vector
        // has, and says in `length` how many it wrote or needs.
        #[expect(unsafe_code, reason = "no safe wrapper knows this option")]
        let status = unsafe {
            libc::getsockopt(
                descriptor,
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / mem::size_of::<libc::gid_t>();
        if status == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::IntoRawFd as _, unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_descriptor_has_one_owner() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let number = ours.into_raw_fd();
        let _owned = adopt(number).expect("open and without an owner");
        assert!(adopt(number).is_err(), "adopted twice");
    }

    #[test]
    fn what_is_not_open_is_not_adopted() {
        assert!(adopt(1).is_err());
        assert!(adopt(1_000_000).is_err());
    }

    #[test]
    fn the_peer_of_a_pair_has_our_groups() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut groups = peer_groups(&ours).expect("the kernel says");
        let mut own: Vec<u32> = nix::unistd::getgroups()
            .expect("own groups")
            .into_iter()
            .map(nix::unistd::Gid::as_raw)
            .collect();
        groups.sort_unstable();
        own.sort_unstable();
        assert_eq!(groups, own);
    }
}
