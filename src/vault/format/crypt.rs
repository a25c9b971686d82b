//! The master key: AES-256 in counter mode, Poly1305-AES for authenticity.
//!
//! A sealed text is `nonce (16) · ciphertext · tag (16)`.

use std::fmt;

use aes256ctr_poly1305aes::{
    Aes256CtrPoly1305Aes,
    aead::{AeadInPlace as _, generic_array::GenericArray},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_api::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How much longer a sealed text is, in bytes.
pub const OVERHEAD: usize = NONCE + TAG;
const NONCE: usize = 16;
const TAG: usize = 16;

/// What everything in a repository is sealed with. Never shown.
#[derive(Clone)]
pub struct MasterKey([u8; 64]);

impl MasterKey {
    /// The key with these bytes: 32 to encrypt, 16 and 16 to authenticate.
    pub fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// A new key.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 64];
        random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Seals `text`.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn seal(&self, text: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD);
        sealed.resize(NONCE, 0);
        random(&mut sealed)?;
        sealed.extend_from_slice(text);
        let (nonce, body) = sealed.split_at_mut(NONCE);
        let tag = self
            .cipher()
            .encrypt_in_place_detached(GenericArray::from_slice(nonce), &[], body)
            .map_err(|_| Error::internal("the text is too long to be sealed"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// `Corrupt` if it was altered, or sealed with another key.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || Error::corrupt("it was altered, or sealed with another key");
        if sealed.len() < OVERHEAD {
            return Err(damaged());
        }
        let (nonce, rest) = sealed.split_at(NONCE);
        let (body, tag) = rest.split_at(rest.len() - TAG);
        let mut text = body.to_vec();
        self.cipher()
            .decrypt_in_place_detached(
                GenericArray::from_slice(nonce),
                &[],
                &mut text,
                GenericArray::from_slice(tag),
            )
            .map_err(|_| damaged())?;
        Ok(text)
    }

    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        Aes256CtrPoly1305Aes::new(GenericArray::from_slice(&self.0))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Fills `bytes` with random numbers.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::internal("no random numbers").with_source(error))
}

/// Bytes as Base64, as the format writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Go writes an absent value as null.
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// The master key as `keys/ID` has it, sealed.
#[derive(Serialize, Deserialize)]
struct Written {
    mac: Mac,
    encrypt: Base64,
}

#[derive(Serialize, Deserialize)]
struct Mac {
    k: Base64,
    r: Base64,
}

impl MasterKey {
    /// The key as JSON, to be sealed with a password's key.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let part = |range: std::ops::Range<usize>| Base64(self.0[range].to_vec());
        let written =
            Written { encrypt: part(0..32), mac: Mac { k: part(32..48), r: part(48..64) } };
        serde_json::to_vec(&written).expect("three texts serialise")
    }

    /// Reads [`to_json`](Self::to_json) back.
    pub(super) fn from_json(text: &[u8]) -> Result<Self> {
        let wrong = || Error::corrupt("the master key has a wrong form");
        let written: Written = serde_json::from_slice(text).map_err(|_| wrong())?;
        let mut bytes = [0; 64];
        let parts = [(0, 32, written.encrypt), (32, 16, written.mac.k), (48, 16, written.mac.r)];
        for (start, length, Base64(part)) in parts {
            if part.len() != length {
                return Err(wrong());
            }
            bytes[start..start + length].copy_from_slice(&part);
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_unless_a_bit_changed() {
        let key = MasterKey::random().expect("random numbers");
        for text in [b"".as_slice(), b"x", &[7; 5000]] {
            let sealed = key.seal(text).expect("seals");
            assert_eq!(sealed.len(), text.len() + OVERHEAD);
            assert_eq!(key.open(&sealed).expect("opens"), text);
            for at in 0..sealed.len() {
                let mut altered = sealed.clone();
                altered[at] ^= 1;
                assert!(key.open(&altered).is_err(), "bit of byte {at}");
            }
            assert!(key.open(&sealed[..sealed.len() - 1]).is_err());
        }
        let other = MasterKey::random().expect("random numbers");
        assert!(other.open(&key.seal(b"x").expect("seals")).is_err());
        assert_eq!(format!("{key:?}"), "***");
    }
}
