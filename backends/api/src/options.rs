//! `-o KEY=VALUE`: what users may ask of a volume.
//!
//! A volume keeps two forms. *Given* is the normalised text of what the user
//! wrote; a repeated Create is compared with it, so that `10G` and `10240MiB`
//! are one request. [`Options`] is the typed form in force.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Bytes, Error, PolicyName, Result, origin::From, policy};

mod subdir;

pub use subdir::Subdir;

/// The options in force of one volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Options {
    /// Owner of the volume's top directory; the daemon's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group of the volume's top directory; the daemon's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Mode of the volume's top directory; 0755 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What the volume may take, where limits work; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// How many hosts may write.
    pub access: Access,
    /// What Remove does.
    pub on_remove: OnRemove,
    /// The policies that it has: sorted, each once. In texts `a+b`.
    #[serde(with = "policy::set", skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyName>,
    /// The directory of others that it shows, where the pool can; one of its own if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdir: Option<Subdir>,
    /// What it is mounted with on top of what its pool says: the text that was given,
    /// whose meaning the pool knows. An empty one is one of its own, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_options: Option<String>,
}

/// How many hosts may have the volume mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Any number, where the pool can.
    #[default]
    Shared,
    /// One host; any number of containers there.
    Single,
}

/// What Remove does with the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRemove {
    /// Into the trash, and gone when the trash's time is over.
    #[default]
    Delete,
    /// Kept without expiry, until `volume rm --now`.
    Retain,
}

/// The smallest `size`.
const SMALLEST: Bytes = Bytes(1 << 20);
/// The largest: file systems count in signed 64-bit numbers.
const LARGEST: Bytes = Bytes(1 << 62);

/// The longest `mount-options`, in bytes: a mount takes less than a page.
const LONGEST: usize = 1000;

/// Permission bits, `0` to `7777` octal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

impl Mode {
    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let octal = !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if octal && bits <= 0o7777 => Ok(Self(bits)),
            _ => {
                Err(Error::invalid(format!("mode `{}` is not an octal mode", text.escape_debug()))
                    .with_hint("write it like `chmod` does: 0750, 1777"))
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Mode {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl std::convert::From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

/// What may be said of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Works at creation.
    Create,
    /// Works at creation, and `volume set` changes it.
    Set,
    /// Works at creation, and a verb of its own changes it.
    Resize,
    /// In the contract; the text says what is missing.
    Missing(&'static str),
}

/// Every option of the contract, in the order that the documentation has.
const OPTIONS: [(&str, Known); 19] = [
    ("pool", Known::Create),
    ("size", Known::Resize),
    ("from", Known::Create),
    ("fs", Known::Missing("only block pools have a file system of their own")),
    ("mkfs-options", Known::Missing("only block pools have a file system of their own")),
    ("mount-options", Known::Set),
    ("uid", Known::Set),
    ("gid", Known::Set),
    ("mode", Known::Set),
    ("policy", Known::Set),
    ("access", Known::Create),
    ("on-remove", Known::Set),
    ("encrypted", Known::Missing("only block pools encrypt")),
    ("kms-key", Known::Missing("it is an option of ebs pools")),
    ("type", Known::Missing("it is an option of ebs pools")),
    ("iops", Known::Missing("it is an option of ebs pools")),
    ("throughput", Known::Missing("it is an option of ebs pools")),
    ("volume-id", Known::Missing("it is an option of ebs pools")),
    ("subdir", Known::Create),
];

/// Brings what the user wrote into one spelling per meaning.
///
/// # Errors
/// `Invalid` for an unknown key (naming the nearest known one) or a wrong value,
/// `Unsupported` for an option of the contract that does not work here.
pub fn normalise(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut options = Options::default();
    given.iter().map(|(key, value)| Ok((key.clone(), options.apply(key, value, false)?))).collect()
}

impl Options {
    /// The typed form of `given`.
    ///
    /// # Errors
    /// As [`normalise`].
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self> {
        Self::default().over(given)
    }

    /// These options (a pool's defaults) with `given` on top. A volume that shows a
    /// directory of others has none of what would change that.
    ///
    /// # Errors
    /// As [`normalise`]; `Unsupported` for what does not go with `subdir`.
    pub fn over(mut self, given: &BTreeMap<String, String>) -> Result<Self> {
        for (key, value) in given {
            self.apply(key, value, false)?;
        }
        if self.subdir.is_some() {
            subdir::check(given)?;
            self = Self { uid: None, gid: None, mode: None, size: None, ..self };
        }
        Ok(self)
    }

    /// These options with the changes of a `volume set` on top.
    ///
    /// # Errors
    /// As [`normalise`]; also `Unsupported` for what can only be given at
    /// creation.
    pub fn set(mut self, changes: &BTreeMap<String, String>) -> Result<Self> {
        for (key, value) in changes {
            self.apply(key, value, true)?;
        }
        if self.subdir.is_some() {
            subdir::check(changes)?;
        }
        Ok(self)
    }

    /// These options with another `size`.
    ///
    /// # Errors
    /// `Invalid` for what is no size, or too small a one; `Unsupported` for a volume
    /// with `subdir`.
    pub fn resized(mut self, size: &str) -> Result<Self> {
        self.apply("size", size, false)?;
        if self.subdir.is_some() {
            subdir::refuse("size")?;
        }
        Ok(self)
    }

    /// Sets one option and returns its normalised text.
    fn apply(&mut self, key: &str, value: &str, set: bool) -> Result<String> {
        match known(key)? {
            Known::Missing(why) => {
                return Err(Error::unsupported(format!("option `{key}` is not available: {why}")));
            }
            Known::Create if set => {
                return Err(Error::unsupported(format!(
                    "option `{key}` can only be given when the volume is created"
                )));
            }
            Known::Resize if set => {
                return Err(Error::unsupported(format!("option `{key}` is not changed by `set`"))
                    .with_hint("berth volume resize NAME SIZE"));
            }
            Known::Create | Known::Set | Known::Resize => {}
        }
        Ok(match key {
            "size" => self.size.insert(limit(value)?).exact(),
            "uid" => self.uid.insert(id(key, value)?).to_string(),
            "gid" => self.gid.insert(id(key, value)?).to_string(),
            "mode" => self.mode.insert(value.parse()?).to_string(),
            "access" => {
                self.access =
                    word(key, value, &[("shared", Access::Shared), ("single", Access::Single)])?;
                value.to_owned()
            }
            "on-remove" => {
                self.on_remove = word(
                    key,
                    value,
                    &[("delete", OnRemove::Delete), ("retain", OnRemove::Retain)],
                )?;
                value.to_owned()
            }
            "policy" => {
                self.policy = policy::parse_set(value)?;
                policy::join(&self.policy)
            }
            "from" => From::parse(value)?.to_string(),
            "subdir" => self.subdir.insert(value.parse()?).to_string(),
            "mount-options" => self.mount_options.insert(mount_options(value)?).clone(),
            // `pool` was resolved by the engine before a backend sees the rest.
            _ => value.to_owned(),
        })
    }
}

fn known(key: &str) -> Result<Known> {
    if let Some((_, known)) = OPTIONS.iter().find(|(name, _)| *name == key) {
        return Ok(*known);
    }
    let shown: String = key.chars().take(40).collect();
    let error = Error::invalid(format!("unknown option `{}`", shown.escape_debug()));
    Err(match nearest(key, OPTIONS.iter().map(|(name, _)| *name)) {
        Some(name) => error.with_hint(format!("did you mean `{name}`?")),
        None => error.with_hint("`berth volume create --help` lists the options"),
    })
}

/// The candidate that `word` is probably a misspelling of.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Beyond this nobody mistyped; and the distance is quadratic in the length.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A limit that can be told from a slip of the hand and that every file system
/// can count.
fn limit(value: &str) -> Result<Bytes> {
    let size: Bytes = value.parse()?;
    if size < SMALLEST {
        return Err(Error::invalid(format!("size `{value}` is less than {SMALLEST}"))
            .with_hint("without a unit the number is one of bytes; write 512M or 10G"));
    }
    if size > LARGEST {
        return Err(Error::invalid(format!("size `{value}` is more than {LARGEST}")));
    }
    Ok(size)
}

fn id(key: &str, value: &str) -> Result<u32> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u32>() {
        // 2^32-1 means "leave unchanged" to chown(2).
        Ok(id) if digits && id != u32::MAX => Ok(id),
        _ => Err(Error::invalid(format!("{key} `{}` is not a numeric id", value.escape_debug()))
            .with_hint(
                "names differ between host and image; write the number, as `id -u` prints it",
            )),
    }
}

/// One spelling of what a mount may be told: no blanks, in the order of the alphabet,
/// each once. What each may be is the pool's to say.
fn mount_options(text: &str) -> Result<String> {
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(Error::invalid("`mount-options` is no list of options").with_hint(
            "as a mount has them, of at most 1000 letters: mount-options=noatime,noexec",
        ));
    }
    let mut options: Vec<_> =
        text.split(',').map(str::trim).filter(|option| !option.is_empty()).collect();
    options.sort_unstable();
    options.dedup();
    Ok(options.join(","))
}

fn word<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T> {
    words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Error::invalid(format!("{key} `{}` is not known", value.escape_debug()))
            .with_hint(format!("it is one of {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests;
