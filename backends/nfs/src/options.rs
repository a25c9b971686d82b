//! Mount options: which may be given, and what the two mounts of a pool get.
//!
//! What each means: nfs(5). What is left out there on purpose has its reason in
//! [`refusal`].

use std::{net::IpAddr, str::FromStr};

use berth_api::{Error, Result, options::nearest};

use crate::export::Version;

/// What the control mount has beside what tells how to reach the server. Calls fail after
/// 9 s, but for the first one on a 4.2 mount, which waits for the lease. `noac` would
/// make each write wait as well; the tree syncs where it must.
const CONTROL: &str = "softerr,timeo=30,retrans=1,actimeo=0,lookupcache=none,nosharecache";

/// What the data mount has unless the configuration says otherwise: the kernel's own
/// defaults, written out.
const DATA: [&str; 3] = ["hard", "timeo=600", "retrans=2"];

/// Options that the configuration gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<String>);

/// What may follow an option's name.
#[derive(Clone, Copy)]
enum Value {
    None,
    Number(u32, u32),
    OneOf(&'static [&'static str]),
}

/// Whom an option is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// How the server is reached: both mounts.
    Both,
    /// What containers get.
    Data,
}

/// Every option that may be given.
const ALLOWED: [(&str, Value, For); 30] = [
    ("hard", Value::None, For::Data),
    ("soft", Value::None, For::Data),
    ("softerr", Value::None, For::Data),
    ("timeo", Value::Number(1, 36_000), For::Data),
    ("retrans", Value::Number(0, 100), For::Data),
    ("acregmin", Value::Number(0, 86_400), For::Data),
    ("acregmax", Value::Number(0, 86_400), For::Data),
    ("acdirmin", Value::Number(0, 86_400), For::Data),
    ("acdirmax", Value::Number(0, 86_400), For::Data),
    ("actimeo", Value::Number(0, 86_400), For::Data),
    ("ac", Value::None, For::Data),
    ("noac", Value::None, For::Data),
    ("cto", Value::None, For::Data),
    ("lookupcache", Value::OneOf(&["all", "pos", "positive", "none"]), For::Data),
    ("atime", Value::None, For::Data),
    ("noatime", Value::None, For::Data),
    ("relatime", Value::None, For::Data),
    ("nodiratime", Value::None, For::Data),
    ("noexec", Value::None, For::Data),
    ("rsize", Value::Number(1024, 1 << 20), For::Both),
    ("wsize", Value::Number(1024, 1 << 20), For::Both),
    ("nconnect", Value::Number(1, 16), For::Both),
    ("proto", Value::OneOf(&["tcp", "tcp6", "rdma", "rdma6"]), For::Both),
    ("port", Value::Number(1, 65_535), For::Both),
    ("sec", Value::OneOf(&["sys", "krb5", "krb5i", "krb5p"]), For::Both),
    ("xprtsec", Value::OneOf(&["none", "tls", "mtls"]), For::Both),
    ("resvport", Value::None, For::Both),
    ("noresvport", Value::None, For::Both),
    ("lock", Value::None, For::Both),
    ("nolock", Value::None, For::Both),
];

/// Options of which one excludes the others.
const CHOICES: [&[&str]; 5] = [
    &["hard", "soft", "softerr"],
    &["lock", "nolock"],
    &["atime", "noatime", "relatime"],
    &["ac", "noac", "actimeo"],
    &["resvport", "noresvport"],
];

/// Why an option of nfs(5) or mount(8) may not be given, where that helps.
fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "vers" | "nfsvers" | "minorversion" | "v3" | "v4" | "v4.0" | "v4.1" | "v4.2" => {
            "it is the key `version` of the pool"
        }
        "addr" | "mountaddr" | "mounthost" | "clientaddr" => {
            "the server is the key `server` of the pool"
        }
        "nocto" => "another host would not see what was written and closed",
        "fsc" => "its cache may hold what another host has overwritten",
        "ro" | "rw" => {
            "a volume is made read-only where it is mounted: `docker run -v NAME:/path:ro`"
        }
        "suid" | "dev" | "nosuid" | "nodev" => "volumes are always `nosuid,nodev`",
        "bg" | "fg" | "retry" => "Berth mounts on demand, and tries again by itself",
        "sharecache" | "nosharecache" => "the two mounts of a pool depend on it",
        "remount" | "bind" | "loop" | "context" | "user" | "users" | "_netdev" | "auto"
        | "noauto" => "it is not about NFS",
        _ => return None,
    })
}

impl Options {
    /// Whether programs may lose writes while the server is away.
    pub fn may_lose_writes(&self) -> bool {
        self.has("soft") || self.has("softerr")
    }

    /// The option that wants Kerberos.
    pub(crate) fn kerberos(&self) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|option| option.starts_with("sec=krb5"))
    }

    /// Whether file locks stay on one host.
    pub(crate) fn unlocked(&self) -> bool {
        self.has("nolock")
    }

    /// Whether they go together with that version.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn check(&self, version: Option<Version>) -> Result<()> {
        let locks = self.0.iter().find(|option| matches!(option.as_str(), "lock" | "nolock"));
        match (locks, version) {
            (Some(option), Some(version)) if version != Version::V3 => Err(Error::invalid(
                format!("mount option `{option}` is for NFS 3: since 4.0 the server has the locks"),
            )),
            _ => Ok(()),
        }
    }

    /// What the control mount is mounted with.
    pub(crate) fn control(&self, version: Version, address: IpAddr) -> String {
        let shared = self.0.iter().filter(|option| whose(option) == Some(For::Both));
        let own = CONTROL.split(',').map(str::to_owned);
        joined(version, address, own.chain(shared.cloned()))
    }

    /// What the data mount is mounted with.
    pub(crate) fn data(&self, version: Version, address: IpAddr) -> String {
        let given = |name: &str| self.0.iter().any(|option| name_of(option) == name);
        let soft = self.may_lose_writes();
        let defaults = DATA.iter().filter(|option| {
            let name = name_of(option);
            !(given(name) || name == "hard" && soft)
        });
        let own = defaults.map(|option| (*option).to_owned());
        joined(version, address, own.chain(self.0.iter().cloned()))
    }

    /// These of a pool with those of a volume on top.
    ///
    /// # Errors
    /// `Invalid`; also for what says how the server is reached, since that is the pool's.
    pub(crate) fn with(&self, text: &str) -> Result<Self> {
        let own: Self = text.parse()?;
        if let Some(option) = own.0.iter().find(|option| whose(option) == Some(For::Both)) {
            let name = name_of(option);
            return Err(Error::invalid(format!("mount option `{name}` is not one of a volume"))
                .with_hint("it says how the server is reached: `mount-options` of the pool"));
        }
        let replaced = |option: &String| own.0.iter().any(|other| excludes(other, option));
        let kept = self.0.iter().filter(|option| !replaced(option)).cloned();
        Ok(Self(kept.chain(own.0.iter().cloned()).collect()))
    }

    /// What the mount of one volume is mounted with. It shares nothing with others:
    /// the kernel would take the time limits of whichever was mounted first.
    pub(crate) fn own(&self, version: Version, address: IpAddr) -> String {
        format!("{},nosharecache", self.data(version, address))
    }

    fn has(&self, option: &str) -> bool {
        self.0.iter().any(|given| given == option)
    }
}

fn joined(version: Version, address: IpAddr, options: impl Iterator<Item = String>) -> String {
    let mut all = vec![format!("vers={}", version.as_str()), format!("addr={address}")];
    if version == Version::V3 {
        // The kernel asks the server's mountd itself.
        all.extend([format!("mountaddr={address}"), "mountproto=tcp".to_owned()]);
    }
    // 4 has no such option, 3 has.
    let of_this =
        |option: &String| version == Version::V3 || !matches!(option.as_str(), "lock" | "nolock");
    all.extend(options.filter(of_this));
    if version == Version::V3 && address.is_ipv6() {
        // 4 goes by the address, 3 wants to be told.
        all.retain(|option| !matches!(option.as_str(), "proto=tcp" | "mountproto=tcp"));
        if !all.iter().any(|option| option.starts_with("proto=")) {
            all.push("proto=tcp6".to_owned());
        }
        all.push("mountproto=tcp6".to_owned());
    }
    all.extend(["nosuid".to_owned(), "nodev".to_owned()]);
    all.join(",")
}

fn name_of(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

/// Whether of two options only one can be: of one name, or of one choice.
fn excludes(one: &str, other: &str) -> bool {
    let (one, other) = (name_of(one), name_of(other));
    let choice = |names: &[&str]| names.contains(&one) && names.contains(&other);
    one == other || CHOICES.iter().any(|names| choice(names))
}

fn whose(option: &str) -> Option<For> {
    ALLOWED.iter().find(|(name, ..)| *name == name_of(option)).map(|(.., whose)| *whose)
}

impl FromStr for Options {
    type Err = Error;

    /// Options as a mount has them: `noatime,nconnect=4`.
    fn from_str(text: &str) -> Result<Self> {
        let mut options: Vec<String> = Vec::new();
        for option in text
            .split(',')
            .map(|option| option.trim_matches(' '))
            .filter(|option| !option.is_empty())
        {
            check(option)?;
            let name = name_of(option);
            if options.iter().any(|other| name_of(other) == name) {
                return Err(Error::invalid(format!("mount option `{name}` is given twice")));
            }
            options.push(option.to_owned());
        }
        for (at, one) in options.iter().enumerate() {
            if let Some(other) = options[at + 1..].iter().find(|other| excludes(one, other)) {
                return Err(Error::invalid(format!(
                    "mount options `{one}` and `{other}` exclude each other"
                )));
            }
        }
        Ok(Self(options))
    }
}

fn check(option: &str) -> Result<()> {
    let (name, value) =
        option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let shown: String = name.chars().take(40).collect();
    let shown = shown.escape_debug();
    let Some((_, allowed, _)) = ALLOWED.iter().find(|(known, ..)| *known == name) else {
        let error = Error::invalid(format!("mount option `{shown}` is not allowed"));
        return Err(match (refusal(name), nearest(name, ALLOWED.iter().map(|(name, ..)| *name))) {
            (Some(why), _) => error.with_hint(why),
            (None, Some(near)) => error.with_hint(format!("did you mean `{near}`?")),
            (None, None) => error.with_hint("nfs(5) describes those that are"),
        });
    };
    let wrong = |what: String| Err(Error::invalid(format!("mount option `{shown}` {what}")));
    match (allowed, value) {
        (Value::None, None) => Ok(()),
        (Value::None, Some(_)) => wrong("takes no value".to_owned()),
        (Value::Number(least, most), value) => match value.map(str::parse::<u32>) {
            Some(Ok(number)) if (*least..=*most).contains(&number) => Ok(()),
            _ => wrong(format!("is a number from {least} to {most}")),
        },
        (Value::OneOf(words), value) => match value {
            Some(word) if words.contains(&word) => Ok(()),
            _ => wrong(format!("is one of {}", words.join(", "))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

    fn options(text: &str) -> Options {
        text.parse().expect(text)
    }

    #[test]
    fn what_could_say_something_else_is_refused() {
        for text in [
            "addr=6.6.6.6",
            "vers=3",
            "rsize=4096 ,addr=6.6.6.6",
            "-o",
            "sec=sys:krb5",
            "nconnect=0",
            "nconnect",
            "noatime=1",
            "hard,soft",
            "timeo=1,timeo=2",
            "rsize=4096\\054addr=6.6.6.6",
            "lookupcache=nobody",
            "nocto",
            "suid",
        ] {
            let error = text.parse::<Options>().expect_err(text);
            assert_eq!(error.kind(), berth_api::ErrorKind::Invalid, "{text}");
        }
        let error = "noatme".parse::<Options>().expect_err("misspelt");
        assert_eq!(error.hint(), Some("did you mean `noatime`?"));
    }

    #[test]
    fn containers_wait_for_the_server_and_berth_does_not() {
        let given = options("noatime, nconnect=4,sec=krb5p");
        assert_eq!(
            given.data(Version::V4_2, ADDRESS),
            "vers=4.2,addr=10.0.0.5,hard,timeo=600,retrans=2,noatime,nconnect=4,sec=krb5p,nosuid,nodev"
        );
        let control = given.control(Version::V4_2, ADDRESS);
        assert!(control.contains("softerr") && control.contains("lookupcache=none"), "{control}");
        assert!(control.contains("sec=krb5p") && control.contains("nconnect=4"), "{control}");
        assert!(!control.contains("noatime"), "{control}");
        assert!(!given.may_lose_writes());
        let soft = options("soft,timeo=50");
        assert!(soft.may_lose_writes());
        let data = soft.data(Version::V4_1, ADDRESS);
        assert_eq!(data, "vers=4.1,addr=10.0.0.5,retrans=2,soft,timeo=50,nosuid,nodev");
    }

    #[test]
    fn a_volume_changes_what_containers_get_and_nothing_else() {
        let pool = options("soft,timeo=50,noatime,sec=krb5p");
        let with = |text: &str| pool.with(text).expect(text).0.join(",");
        assert_eq!(with(""), "soft,timeo=50,noatime,sec=krb5p");
        assert_eq!(with("hard,timeo=600"), "noatime,sec=krb5p,hard,timeo=600");
        assert_eq!(with("relatime,noexec"), "soft,timeo=50,sec=krb5p,relatime,noexec");
        for text in [
            "sec=sys",
            "proto=tcp",
            "port=2049",
            "nconnect=4",
            "nolock",
            "vers=3",
            "vers=3,addr=6.6.6.6",
            "addr=6.6.6.6",
            "noexec addr=6.6.6.6",
            "noexec\naddr=6.6.6.6",
            "-o",
            "timeo=50=60",
            "noexec=",
            "nöexec",
        ] {
            let error = pool.with(text).expect_err(text);
            assert_eq!(error.kind(), berth_api::ErrorKind::Invalid, "{text}");
        }
        let own = pool.with("noexec").expect("allowed").own(Version::V4_2, ADDRESS);
        assert!(own.contains(",noexec,") && own.ends_with(",nosharecache"), "{own}");
    }

    #[test]
    fn version_3_is_told_of_ipv6() {
        let address = "fd00::5".parse().expect("an address");
        let data = options("nolock,proto=tcp").data(Version::V3, address);
        assert_eq!(data.matches("proto=").count(), 2, "{data}");
        assert!(data.contains(",proto=tcp6,") && data.contains(",mountproto=tcp6,"), "{data}");
        assert!(!options("").data(Version::V4_2, address).contains("proto="));
    }

    #[test]
    fn locks_are_an_option_of_version_3() {
        options("nolock").check(Some(Version::V4_2)).expect_err("4.2 has no such option");
        let given = options("nolock");
        assert!(given.data(Version::V3, ADDRESS).contains(",nolock,"));
        assert!(!given.data(Version::V4_2, ADDRESS).contains("lock,"));
        assert!(given.data(Version::V3, ADDRESS).contains("mountaddr=10.0.0.5,mountproto=tcp"));
    }
}
