//! Listening unix sockets: made here, or [passed](super::passed) by a service manager.
//!
//! A socket of our own replaces a stale one (nobody accepts), never a live one,
//! and is unlinked at the stop only while the path still leads to it. A passed
//! one belongs to the service manager: it is served and left alone.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{
                DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown,
            },
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, Result};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
        },
        stat::{Mode, fchmod},
    },
};

use super::peer;

/// Who may connect: owner and group.
const MODE: u32 = 0o660;

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that was made here; `None` if passed.
    own: Option<(u64, u64)>,
}

impl Socket {
    /// Listens at `path`, mode 0660, group `berth` if there is one.
    ///
    /// # Errors
    /// `Busy` if somebody accepts there; `Invalid` if the path is something else.
    pub fn bind(path: &Path) -> Result<Self> {
        let what = || format!("socket `{}`", path.display());
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
            made.context(|| format!("make folder `{}`", folder.display()))?;
        }
        clear(path)?;
        let listener = match listen_at(path) {
            Err(Errno::EADDRINUSE) => return Err(live(path)),
            listener => listener.map_err(io::Error::from).context(what)?,
        };
        let own = identity(&fs::symlink_metadata(path).context(what)?);
        fs::set_permissions(path, Permissions::from_mode(MODE)).context(what)?;
        if let Some(group) = peer::group()
            && let Err(error) = chown(path, None, Some(group))
        {
            tracing::warn!(path = %path.display(), %error, "socket not given to the group `berth`");
        }
        Ok(Self { listener, path: path.to_owned(), own: Some(own) })
    }

    /// A socket that somebody else made and passed on.
    pub(super) fn passed(listener: UnixListener, path: PathBuf) -> Self {
        Self { listener, path, own: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a service manager passed it.
    pub fn is_passed(&self) -> bool {
        self.own.is_none()
    }

    /// A second handle of the listener, for a server.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn listener(&self) -> Result<UnixListener> {
        self.listener.try_clone().context(|| format!("socket `{}`", self.path.display()))
    }

    /// Takes the socket out of the file system if it is our own and still there.
    pub fn unlink(&mut self) {
        let Some(own) = self.own.take() else { return };
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == own);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "socket not unlinked");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// A listening socket whose file is made with [`MODE`] (less the umask), so that
/// it is at no moment open to others.
fn listen_at(path: &Path) -> nix::Result<UnixListener> {
    let address = UnixAddr::new(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // unix_bind() in the kernel makes the file with the mode of the socket.
    fchmod(&socket, Mode::from_bits_truncate(MODE))?;
    bind(socket.as_raw_fd(), &address)?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(UnixListener::from(socket))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn live(path: &Path) -> Error {
    Error::busy(format!("socket `{}` is served by another process", path.display()))
        .with_hint("stop the other daemon, or give this one sockets of its own")
}

/// Removes a stale socket; refuses a live one and anything else.
fn clear(path: &Path) -> Result<()> {
    let what = || format!("socket `{}`", path.display());
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.context(what)?,
    };
    if !found.file_type().is_socket() {
        return Err(Error::invalid(format!("`{}` is there, and is no socket", path.display()))
            .with_hint("remove it, or choose another path"));
    }
    let address = UnixAddr::new(path).map_err(io::Error::from).context(what)?;
    // Without blocking: a full backlog is as live as an open door.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None);
    let probe = probe.map_err(io::Error::from).context(what)?;
    match connect(probe.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED) => fs::remove_file(path).context(what),
        Err(Errno::ENOENT) => Ok(()),
        Ok(()) | Err(Errno::EAGAIN) => Err(live(path)),
        Err(errno) => Err(io::Error::from(errno)).context(what),
    }
}

/// Refuses a control socket where Docker takes every socket for a plugin: it
/// would wait 15 s for it at each `docker volume ls`.
///
/// # Errors
/// `Invalid`.
pub fn outside_plugin_folder(control: &Path) -> Result<()> {
    let folder = control.parent().unwrap_or(Path::new("/"));
    // What does not exist yet has no links to resolve either.
    let folder = folder.ancestors().find_map(|there| {
        let rest = folder.strip_prefix(there).ok()?;
        fs::canonicalize(there).ok().map(|real| real.join(rest))
    });
    let folder = folder.unwrap_or_else(|| control.to_owned());
    let parts: Vec<&OsStr> = folder.iter().collect();
    if parts.windows(2).any(|pair| pair == ["docker", "plugins"]) {
        return Err(Error::invalid(format!(
            "control socket `{}` lies in a folder whose sockets Docker takes for plugins",
            control.display()
        ))
        .with_hint("choose another path with `--socket`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use berth_api::ErrorKind;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn binds_with_its_folder_and_for_owner_and_group_only() {
        let folder = folder();
        let path = folder.path().join("a/b/berth.sock");
        let socket = Socket::bind(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let mut client = UnixStream::connect(&path).expect("listening");
        let (mut server, _) = socket.listener().expect("a handle").accept().expect("accepted");
        server.write_all(b"x").expect("written");
        client.read_exact(&mut [0]).expect("read");
        drop(socket);
        assert!(!path.exists(), "unlinked at the stop");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = folder();
        let path = folder.path().join("berth.sock");
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "left behind, as by a crash");
        let socket = Socket::bind(&path).expect("replaced");
        let error = Socket::bind(&path).expect_err("served");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(path.exists(), "the live one is untouched");
        drop(socket);
    }

    #[test]
    fn anything_else_at_the_path_stays() {
        let folder = folder();
        let path = folder.path().join("berth.sock");
        fs::write(&path, "precious").expect("written");
        assert_eq!(Socket::bind(&path).expect_err("refused").kind(), ErrorKind::Invalid);
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
        let long = folder.path().join("x".repeat(120));
        assert!(Socket::bind(&long).is_err(), "longer than a socket address");
    }

    #[test]
    fn another_ones_socket_is_not_unlinked() {
        let folder = folder();
        let path = folder.path().join("berth.sock");
        let mut socket = Socket::bind(&path).expect("bound");
        fs::remove_file(&path).expect("removed by somebody");
        let _other = UnixListener::bind(&path).expect("bound by somebody");
        socket.unlink();
        assert!(path.exists());
    }

    #[test]
    fn the_control_socket_stays_out_of_the_plugin_folder() {
        let folder = folder();
        let plugins = folder.path().join("run/docker/plugins");
        fs::create_dir_all(&plugins).expect("made");
        std::os::unix::fs::symlink(&plugins, folder.path().join("link")).expect("linked");
        for inside in [
            plugins.join("berth-control.sock"),
            plugins.join("new/berth.sock"),
            folder.path().join("link/berth.sock"),
            PathBuf::from("/run/docker/plugins/control.sock"),
        ] {
            let error = outside_plugin_folder(&inside).expect_err("inside");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{}", inside.display());
        }
        for outside in [folder.path().join("run/berth/berth.sock"), "/run/berth/berth.sock".into()]
        {
            outside_plugin_folder(&outside).expect("outside");
        }
    }
}
