//! Sockets that a service manager passes by `LISTEN_FDS`.

use std::{
    fs,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, Result};
use nix::sys::socket::{UnixAddr, getsockname, getsockopt, sockopt};

use super::Socket;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Docker.
    Plugin,
    /// The command line.
    Control,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Control => "control",
        }
    }
}

/// The sockets that a service manager passed, by purpose.
#[derive(Debug, Default)]
pub struct Passed {
    plugin: Option<Socket>,
    control: Option<Socket>,
}

impl Passed {
    /// Takes what `LISTEN_FDS` says is there: by its name in `LISTEN_FDNAMES`
    /// (`plugin`, `control`), or by the path it listens at.
    ///
    /// # Errors
    /// `Invalid` for a descriptor that is not a listening unix socket, or not for
    /// us: its clients would wait for ever.
    pub fn take(plugin: &Path, control: &Path) -> Result<Self> {
        let passed = sd_notify::listen_fds_with_names(true).map_err(|source| {
            Error::invalid("sockets passed by `LISTEN_FDS`").with_source(source)
        })?;
        let mut taken = Self::default();
        for (number, name) in passed {
            let what = || format!("socket `{name}`, descriptor {number} of `LISTEN_FDS`");
            let socket = berth_host::sockets::adopt(number).context(what)?;
            let path = address(&socket).map_err(|error| error.context(what()))?;
            let Some(purpose) = purpose(&name, path.as_deref(), plugin, control) else {
                return Err(Error::invalid(format!("{} is neither plugin nor control", what()))
                    .with_hint("`FileDescriptorName=plugin` or `control` says which it is"));
            };
            let (place, default) = match purpose {
                Purpose::Plugin => (&mut taken.plugin, plugin),
                Purpose::Control => (&mut taken.control, control),
            };
            if place.is_some() {
                let name = purpose.name();
                return Err(Error::invalid(format!("two {name} sockets passed by `LISTEN_FDS`")));
            }
            let path = path.unwrap_or_else(|| default.to_owned());
            *place = Some(Socket::passed(UnixListener::from(socket), path));
        }
        Ok(taken)
    }

    /// The passed socket for `purpose`, or one of our own at `path`.
    ///
    /// # Errors
    /// As [`Socket::bind`].
    pub fn or_bind(&mut self, purpose: Purpose, path: &Path) -> Result<Socket> {
        let passed = match purpose {
            Purpose::Plugin => self.plugin.take(),
            Purpose::Control => self.control.take(),
        };
        passed.map_or_else(|| Socket::bind(path), Ok)
    }
}

/// The path that a passed descriptor listens at.
fn address(socket: &OwnedFd) -> Result<Option<PathBuf>> {
    let listening = getsockopt(socket, sockopt::AcceptConn).unwrap_or(false);
    let name = getsockname::<UnixAddr>(socket.as_raw_fd());
    match name {
        Ok(name) if listening => Ok(name.path().map(Path::to_owned)),
        _ => Err(Error::invalid("is not a listening unix socket")),
    }
}

fn purpose(name: &str, at: Option<&Path>, plugin: &Path, control: &Path) -> Option<Purpose> {
    match name {
        "plugin" => return Some(Purpose::Plugin),
        "control" => return Some(Purpose::Control),
        _ => {}
    }
    // The same file under another spelling (`/var/run` → `/run`) is the same.
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let at = real(at?);
    if at == real(plugin) {
        Some(Purpose::Plugin)
    } else if at == real(control) {
        Some(Purpose::Control)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn passed_sockets_are_told_apart_by_name_or_path() {
        let (plugin, control) = (Path::new("/x/plugin.sock"), Path::new("/x/control.sock"));
        let purpose = |name, at: Option<&str>| purpose(name, at.map(Path::new), plugin, control);
        assert_eq!(purpose("plugin", None), Some(Purpose::Plugin));
        assert_eq!(purpose("control", Some("/x/plugin.sock")), Some(Purpose::Control));
        assert_eq!(purpose("berth.socket", Some("/x/plugin.sock")), Some(Purpose::Plugin));
        assert_eq!(purpose("unknown", Some("/x/control.sock")), Some(Purpose::Control));
        assert_eq!(purpose("unknown", Some("/x/other.sock")), None);
        assert_eq!(purpose("unknown", None), None);
    }

    #[test]
    fn only_listening_sockets_are_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        assert_eq!(address(&listener.into()).expect("listening"), Some(path));
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert!(address(&one.into()).is_err(), "connected");
        let file = fs::File::open("/dev/null").expect("opened");
        assert!(address(&file.into()).is_err(), "no socket");
    }
}
