//! The irreducible polynomial over GF(2), of degree 53, that a repository's
//! content-defined chunker cuts by.

use berth_api::{Error, Result};

use super::crypt::random;

/// The degree; a prime, which makes the test short.
const DEGREE: u32 = 53;

/// A new one, at random. One in about 53 candidates is irreducible.
///
/// # Errors
/// `Internal` if the kernel has no random numbers.
pub fn choose() -> Result<u64> {
    for _ in 0..100_000 {
        let mut bytes = [0; 8];
        random(&mut bytes)?;
        let body = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1);
        let candidate = body | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return Ok(candidate);
        }
    }
    Err(Error::internal("no irreducible polynomial was found"))
}

/// Rabin's test. A polynomial of prime degree n is irreducible if x^(2^n) = x
/// modulo it and it has no root, that is, neither 0 nor 1.
pub fn is_irreducible(polynomial: u64) -> bool {
    let right_degree = polynomial >> DEGREE == 1;
    let no_root = polynomial & 1 == 1 && polynomial.count_ones() % 2 == 1;
    if !right_degree || !no_root {
        return false;
    }
    let mut power = 2;
    for _ in 0..DEGREE {
        power = square(power, polynomial);
    }
    power == 2
}

/// The square modulo the polynomial. Squaring over GF(2) spreads the bits.
fn square(value: u64, polynomial: u64) -> u64 {
    let mut wide: u128 = 0;
    for bit in 0..DEGREE {
        wide |= u128::from(value >> bit & 1) << (2 * bit);
    }
    for bit in (DEGREE..2 * DEGREE).rev() {
        if wide >> bit & 1 == 1 {
            wide ^= u128::from(polynomial) << (bit - DEGREE);
        }
    }
    u64::try_from(wide).expect("the remainder's degree is below 53")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_polynomials_are_judged_right() {
        // The one that restic's chunker uses in its own tests.
        assert!(is_irreducible(0x003D_A335_8B4D_C173));
        // Products: of x + 1, of x, and of x^2 + x + 1 and something of degree 51.
        assert!(!is_irreducible(0x003D_A335_8B4D_C172));
        assert!(!is_irreducible(0x0020_0000_0000_0001));
        assert!(!is_irreducible((1 << 53) | (1 << 52) | (1 << 51) | 0b111));
        assert!(is_irreducible(choose().expect("one is found")));
    }
}
