//! A number of bytes, as people write it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A number of bytes. Text such as `10G`, `512MiB` or `4096` parses; units are
/// powers of 1024, as Docker's own sizes are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!("`{text}` is not a size"))
                .with_hint("write a whole number and a unit: 512M, 10G, 1TiB")
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let power = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            "p" | "pb" | "pib" => 5,
            "e" | "eb" | "eib" => 6,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(1 << (10 * power))
            .map(Self)
            .ok_or_else(|| Error::invalid(format!("size `{text}` is larger than 16 EiB")))
    }
}

impl Bytes {
    /// The one spelling of this number: the largest unit that divides it, and no
    /// space, so that it parses: `10GiB`, `1025MiB`, `1537B`.
    pub fn exact(self) -> String {
        let powers = (1..UNITS.len()).rev();
        let power = powers
            .filter(|power| self.0 > 0 && self.0.trailing_zeros() as usize >= 10 * power)
            .max()
            .unwrap_or(0);
        format!("{}{}", self.0 >> (10 * power), UNITS[power])
    }
}

impl fmt::Display for Bytes {
    /// Exact where a unit divides the number, otherwise rounded to a tenth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut power = 0;
        while power + 1 < UNITS.len() && self.0 >> (10 * (power + 1)) > 0 {
            power += 1;
        }
        let unit = 1_u64 << (10 * power);
        let text = if self.0.is_multiple_of(unit) {
            format!("{} {}", self.0 / unit, UNITS[power])
        } else {
            // Tenths by integers: no rounding surprises near 2^64.
            let tenths = u128::from(self.0) * 10 / u128::from(unit);
            format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power])
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_size_has_many_spellings() {
        for text in ["10G", "10g", "10GiB", "10GB", "10240MiB", "10737418240"] {
            assert_eq!(text.parse::<Bytes>().expect(text), Bytes(10 << 30), "{text}");
        }
    }

    #[test]
    fn the_exact_spelling_parses_to_the_same() {
        let table = [
            (0, "0B"),
            (1537, "1537B"),
            (1025 << 20, "1025MiB"),
            (10 << 30, "10GiB"),
            (1 << 60, "1EiB"),
            (u64::MAX, "18446744073709551615B"),
        ];
        for (number, text) in table {
            assert_eq!(Bytes(number).exact(), text);
            assert_eq!(text.parse::<Bytes>().expect(text), Bytes(number));
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "G", "10X", "-1", "1.5G", "10 G", "17E", "99999999999999999999"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn displays_in_the_largest_fitting_unit() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(10 << 30).to_string(), "10 GiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "15.9 EiB");
    }
}
