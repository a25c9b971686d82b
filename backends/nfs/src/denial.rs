//! What it means that a mount was refused: the kernel has few words for it, and
//! `mount` puts them into those of disks.

use berth_api::{Error, ErrorKind};

use crate::export::Export;

/// What `mount` prints, and what that is about. Seen with util-linux 2.38; nfsd hides
/// from NFS 4 what it does not export to a host, so that both look alike.
const WORDS: [(&[&str], Denial); 3] = [
    (&["special device", "No such file or directory"], Denial::Absent),
    (&["read-only", "ermission denied", "not permitted"], Denial::Forbidden),
    (
        &["bad option", "wrong fs type", "unknown filesystem type", "Invalid argument"],
        Denial::Unknown,
    ),
];

/// Why a mount was refused, by a server or kernel that does answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// There is no such export, or not for this host.
    Absent,
    /// This host may not, or not in this way.
    Forbidden,
    /// The kernel does not know an option, a version, or NFS at all.
    Unknown,
}

impl Denial {
    /// What the end of `mount` was about; `None` for a server that does not answer, or
    /// not by this version.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        if error.kind() != ErrorKind::Internal {
            return None;
        }
        let text = error.to_string();
        // What it says follows what it was told, which has names that others chose.
        let said = text.rsplit_once(": mount: ").map_or(text.as_str(), |(_, said)| said);
        let about = |words: &&(&[&str], Self)| words.0.iter().any(|word| said.contains(word));
        WORDS.iter().find(about).map(|(_, denial)| *denial)
    }

    /// The same of an error that was [`told`](Self::told).
    pub(crate) fn of_chain(error: &Error) -> Option<Self> {
        let source = std::error::Error::source(error)?;
        Self::of(source.downcast_ref::<Error>()?)
    }

    /// The error, as an operator can act upon it.
    pub(crate) fn told(self, export: &Export, error: Error) -> Error {
        if let Some(kerberos) = export.options().kerberos() {
            return Error::unavailable(format!("`{export}` cannot be mounted with `{kerberos}`"))
                .with_source(error)
                .with_hint(
                    "Kerberos needs the kernel module rpcsec_gss_krb5, a running rpc.gssd and \
                     a key of this host in /etc/krb5.keytab; the export needs the same `sec`",
                );
        }
        let (text, hint) = match self {
            Self::Absent => (
                format!("the server has no export `{export}` for this host"),
                "`exportfs -v` on the server lists what it exports, and to whom",
            ),
            Self::Forbidden => (
                format!("the server does not let this host mount `{export}`"),
                "`exportfs -v` on the server lists what it exports, to whom, and with which `sec`",
            ),
            Self::Unknown => (
                format!("this host's kernel cannot mount `{export}`"),
                "it has no such version or option of NFS, or not the module `nfs`: see dmesg",
            ),
        };
        Error::unavailable(text).with_source(error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mount_says_of_disks_is_told_of_exports() {
        for (said, denial) in [
            ("/p/data: special device nas:/x does not exist.", Some(Denial::Absent)),
            ("/p/data: cannot mount nas:/x read-only.", Some(Denial::Forbidden)),
            ("/p/data: bad option; for several filesystems", Some(Denial::Unknown)),
            ("/p/data: mount(2) system call failed: Connection refused.", None),
            ("/p/data: mount(2) system call failed: Protocol not supported.", None),
        ] {
            let text = format!("`mount -- nas:/read-only`: exit status: 32: mount: {said}");
            assert_eq!(Denial::of(&Error::internal(text)), denial, "{said}");
        }
        assert_eq!(Denial::of(&Error::unavailable("`mount read-only` was ended")), None);
    }

    #[test]
    fn kerberos_is_the_likelier_reason_where_it_is_asked_for() {
        let export = |options: &str| {
            let options = options.parse().expect("allowed");
            Export::new("nas", "/x", None, options).map_err(|(_, error)| error).expect("valid")
        };
        let error = Error::internal("mount: bad option");
        let told = Denial::Unknown.told(&export("sec=krb5p"), error);
        assert_eq!(told.to_string(), "`nas:/x` cannot be mounted with `sec=krb5p`");
        let told = Denial::Absent.told(&export("sec=sys"), Error::internal("mount: no"));
        assert_eq!(told.to_string(), "the server has no export `nas:/x` for this host");
    }
}
