//! What opens a repository. Never shown, never on a command line.

use std::{fmt, fs::File, io::Read as _, os::unix::fs::MetadataExt as _, path::Path};

use berth_api::{Context as _, Error, Result};

/// The largest file that is taken for a password, in bytes.
const LARGEST: u64 = 4096;

/// What opens a repository.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// A new one: 256 random bits as text.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn generate() -> Result<Self> {
        Ok(Self(crate::Id::random()?.to_string().into_bytes()))
    }

    /// These bytes, without the line's end.
    pub fn new(text: &[u8]) -> Self {
        let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        Self(text[..end.map_or(0, |end| end + 1)].to_vec())
    }

    /// The first line of a file that only its owner may read.
    ///
    /// # Errors
    /// `Invalid` if others may read it or it is empty; the kernel's.
    pub fn from_file(path: &Path) -> Result<Self> {
        let what = || format!("key file `{}`", path.display());
        let file = File::open(path).context(what)?;
        let mode = file.metadata().context(what)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::invalid(format!(
                "key file `{}` has mode {mode:04o}: others may read it",
                path.display()
            ))
            .with_hint(format!("`chmod 600 {}`", path.display())));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).context(what)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let password = Self::new(line);
        if password.0.is_empty() {
            return Err(Error::invalid(format!("key file `{}` is empty", path.display())));
        }
        Ok(password)
    }

    /// The bytes, for whoever derives a key or writes the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
