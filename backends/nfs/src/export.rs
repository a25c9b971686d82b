//! What the configuration says of an export.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use berth_api::{Error, Result};

use crate::options::Options;

/// The port that NFS 4 has unless an option says otherwise; only to look a name up.
const PORT: u16 = 2049;

/// The newest first: what is tried where no version is asked for. 3 comes last, and
/// knows no server-side copies.
pub(crate) const VERSIONS: [Version; 4] =
    [Version::V4_2, Version::V4_1, Version::V4_0, Version::V3];

/// An export, and how to mount it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    server: Server,
    path: String,
    version: Option<Version>,
    options: Options,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 1813.
    V3,
    /// RFC 7530.
    V4_0,
    /// RFC 8881.
    V4_1,
    /// RFC 7862: clones and copies on the server.
    V4_2,
}

/// Who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Address(IpAddr),
    Name(String),
}

impl Export {
    /// The export `path` of `server`: a name, an IPv4 or an IPv6 address.
    ///
    /// # Errors
    /// `Invalid`, with the key of a configuration that is wrong: a server that is
    /// neither, a path that is not absolute, an option that this version does not have.
    pub fn new(
        server: &str,
        path: &str,
        version: Option<Version>,
        options: Options,
    ) -> Result<Self, (&'static str, Error)> {
        let server = server.parse().map_err(|error| ("server", error))?;
        let plain = path.starts_with('/') && !path.contains("//");
        let inside = path.split('/').all(|part| !matches!(part, "." | ".."));
        if !plain || !inside || path.chars().any(char::is_control) {
            let shown: String = path.chars().take(80).collect();
            let error = Error::invalid(format!("`{}` is no export", shown.escape_debug()))
                .with_hint("an absolute path on the server, as `showmount -e` lists it");
            return Err(("export", error));
        }
        options.check(version).map_err(|error| ("mount-options", error))?;
        let path = if path == "/" { path } else { path.trim_end_matches('/') };
        Ok(Self { server, path: path.to_owned(), version, options })
    }

    /// The versions to try, in this order.
    pub(crate) fn versions(&self) -> &[Version] {
        let all = &VERSIONS;
        match self.version {
            Some(version) => {
                all.iter().position(|one| *one == version).map_or(all, |at| &all[at..=at])
            }
            // Without locks from a daemon of its own 3 would break what programs rely on.
            None if self.options.unlocked() => all,
            None => &all[..3],
        }
    }

    /// Whether its file locks need a daemon of this host.
    pub(crate) fn needs_statd(&self) -> bool {
        self.version == Some(Version::V3) && !self.options.unlocked()
    }

    /// How it is mounted.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The server, as the configuration says it.
    pub(crate) fn server(&self) -> String {
        self.server.to_string()
    }

    /// What is exported, as the server calls it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The addresses of the server; a name is looked up, which may take seconds.
    ///
    /// # Errors
    /// `Unavailable` if the name is not known, or nobody answers.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>> {
        let name = match &self.server {
            Server::Address(address) => return Ok(vec![*address]),
            Server::Name(name) => name,
        };
        let found = (name.as_str(), PORT).to_socket_addrs().map_err(|error| {
            Error::unavailable(format!("the name `{name}` of the NFS server is not known"))
                .with_source(error)
                .with_hint(format!("`getent hosts {name}` asks the same"))
        })?;
        let mut addresses: Vec<_> = found.map(|socket: SocketAddr| socket.ip()).collect();
        addresses.dedup();
        Ok(addresses)
    }

    /// What the mount table has as its source when it is mounted.
    pub(crate) fn source(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.path),
            server => write!(f, "{server}:{}", self.path),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Server {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if text.len() <= 253 && text.trim_end_matches('.').split('.').all(label) {
            return Ok(Self::Name(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::invalid(format!("`{}` is no server", shown.escape_debug()))
            .with_hint("a name, as `nas.example.org`, or an address, as `10.0.0.5` or `fd00::5`"))
    }
}

impl Version {
    /// As the option `vers` of a mount has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4_0 => "4.0",
            Self::V4_1 => "4.1",
            Self::V4_2 => "4.2",
        }
    }

    /// The file system type that mounts it.
    pub(crate) fn kind(self) -> &'static str {
        if self == Self::V3 { "nfs" } else { "nfs4" }
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "3" => Ok(Self::V3),
            "4" | "4.0" => Ok(Self::V4_0),
            "4.1" => Ok(Self::V4_1),
            "4.2" => Ok(Self::V4_2),
            _ => Err(Error::invalid(format!("`{}` is no version of NFS", text.escape_debug()))
                .with_hint("3, 4.0, 4.1 or 4.2; left out, the newest that the server has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(server: &str, path: &str) -> Result<Export> {
        Export::new(server, path, None, Options::default()).map_err(|(_, error)| error)
    }

    #[test]
    fn servers_are_names_or_addresses() {
        for (server, source) in [
            ("10.0.0.5", "10.0.0.5:/export"),
            ("nas", "nas:/export"),
            ("nas-1.example.org", "nas-1.example.org:/export"),
            ("fd00::5", "[fd00::5]:/export"),
            ("[fd00::5]", "[fd00::5]:/export"),
        ] {
            assert_eq!(export(server, "/export/").expect(server).source(), source);
        }
        for server in ["", "-o", "nas,addr=1.2.3.4", "nas:/x", "a..b", "nas server", "näs", "a/b"]
        {
            let error = export(server, "/export").expect_err(server);
            assert_eq!(error.kind(), berth_api::ErrorKind::Invalid, "{server}");
        }
    }

    #[test]
    fn exports_are_absolute_paths() {
        for path in ["/", "/a", "/a b/c,d", "/srv/ä"] {
            export("nas", path).expect(path);
        }
        for path in ["", "a", "/a/../b", "/./a", "//a", "/a\nb", "/.."] {
            export("nas", path).expect_err(path);
        }
    }

    #[test]
    fn the_newest_version_is_tried_first_and_3_only_when_asked_for() {
        let tried = |version, options: &str| {
            let options = options.parse().expect("allowed");
            Export::new("nas", "/x", version, options).expect("valid").versions().to_vec()
        };
        assert_eq!(tried(None, ""), [Version::V4_2, Version::V4_1, Version::V4_0]);
        assert_eq!(tried(None, "nolock"), VERSIONS);
        assert_eq!(tried(Some(Version::V4_1), ""), [Version::V4_1]);
        assert_eq!(tried(Some(Version::V3), ""), [Version::V3]);
    }
}
