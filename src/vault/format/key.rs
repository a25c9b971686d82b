//! `keys/ID`: the master key, sealed with a key that scrypt makes of a password.

use berth_api::{Error, Result};
use jiff::Timestamp;
use scrypt::Params;
use serde::{Deserialize, Serialize};

use super::crypt::{Base64, MasterKey, random};

/// What scrypt may cost when a key file is read: 1 GiB, in bytes. Who can write to
/// a repository could make others run out of memory otherwise.
const MOST_MEMORY: u64 = 1 << 30;
/// N, r and p of new keys: 128 MiB and 0.3 s, as restic chooses on such machines.
const COST: (u8, u32, u32) = (15, 8, 1);

/// One key file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyFile {
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    #[serde(default)]
    pub username: String,
    /// On which host.
    #[serde(default)]
    pub hostname: String,
    /// Always `scrypt`.
    pub kdf: String,
    /// scrypt's N, a power of two.
    #[serde(rename = "N")]
    pub n: u64,
    /// scrypt's r.
    pub r: u32,
    /// scrypt's p.
    pub p: u32,
    /// scrypt's salt.
    pub salt: Base64,
    /// The sealed master key.
    pub data: Base64,
}

impl KeyFile {
    /// Locks `key` with `password`. Takes 0.3 s and 128 MiB.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn lock(key: &MasterKey, password: &[u8], username: &str, hostname: &str) -> Result<Self> {
        let (log_n, r, p) = COST;
        let mut salt = vec![0; 64];
        random(&mut salt)?;
        let mut file = Self {
            created: Timestamp::now(),
            username: username.to_owned(),
            hostname: hostname.to_owned(),
            kdf: "scrypt".to_owned(),
            n: 1 << log_n,
            r,
            p,
            salt: Base64(salt),
            data: Base64::default(),
        };
        file.data = Base64(file.derive(password)?.seal(&key.to_json())?);
        Ok(file)
    }

    /// The master key, if `password` is the one it was locked with.
    ///
    /// # Errors
    /// `Invalid` for another password; `Corrupt` for a file that cannot be one.
    pub fn unlock(&self, password: &[u8]) -> Result<MasterKey> {
        let text = self
            .derive(password)?
            .open(&self.data.0)
            .map_err(|_| Error::invalid("the password does not open this key"))?;
        MasterKey::from_json(&text)
    }

    fn derive(&self, password: &[u8]) -> Result<MasterKey> {
        let wrong = || Error::corrupt("the key file asks for something that scrypt cannot do");
        let memory = self.n.checked_mul(u64::from(self.r)).and_then(|cost| cost.checked_mul(128));
        if self.kdf != "scrypt" || !self.n.is_power_of_two() || self.p > 16 {
            return Err(wrong());
        }
        if memory.is_none_or(|memory| memory > MOST_MEMORY) {
            return Err(wrong());
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).map_err(|_| wrong())?;
        let params = Params::new(log_n, self.r, self.p).map_err(|_| wrong())?;
        let mut bytes = [0; 64];
        scrypt::scrypt(password, &self.salt.0, &params, &mut bytes).map_err(|_| wrong())?;
        Ok(MasterKey::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_opens_it() {
        let key = MasterKey::random().expect("random numbers");
        let file = KeyFile::lock(&key, b"secret", "root", "host").expect("locks");
        let text = serde_json::to_string(&file).expect("serialises");
        let read: KeyFile = serde_json::from_str(&text).expect("parses");
        let opened = read.unlock(b"secret").expect("the password");
        assert_eq!(opened.to_json(), key.to_json());
        assert!(read.unlock(b"Secret").is_err());
        for (n, r, p) in [(0, 8, 1), (3, 8, 1), (1 << 30, 8, 1), (1 << 15, 0, 1), (1 << 15, 8, 99)]
        {
            let hostile = KeyFile { n, r, p, ..read.clone() };
            assert!(hostile.unlock(b"secret").is_err(), "{n} {r} {p}");
        }
    }
}
