//! Names of files as the format writes them: quoted as Go's `strconv.Quote` does,
//! without the quotation marks, since JSON cannot carry bytes that are not UTF-8.

use std::fmt::Write as _;

use berth_api::{Error, Result};

/// The name as the format writes it.
pub fn quote(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{b}' => text.push_str("\\v"),
                // Go also escapes what is not printable; reading understands both.
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Reads [`quote`]'s and Go's text back.
///
/// # Errors
/// `Corrupt` if it is not such a text.
pub fn unquote(text: &str) -> Result<Vec<u8>> {
    let wrong = || Error::corrupt(format!("`{}` is not a quoted name", text.escape_debug()));
    let mut name = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    let push = |name: &mut Vec<u8>, letter: char| {
        name.extend(letter.encode_utf8(&mut [0; 4]).bytes());
    };
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            push(&mut name, letter);
            continue;
        }
        let escaped = letters.next().ok_or_else(wrong)?;
        let mut number = |digits: usize, radix: u32| {
            let mut value = 0;
            for _ in 0..digits {
                value = value * radix + letters.next().and_then(|digit| digit.to_digit(radix))?;
            }
            Some(value)
        };
        match escaped {
            '\\' | '"' | '\'' => push(&mut name, escaped),
            'a' => name.push(7),
            'b' => name.push(8),
            'f' => name.push(12),
            'n' => name.push(b'\n'),
            'r' => name.push(b'\r'),
            't' => name.push(b'\t'),
            'v' => name.push(11),
            'x' => {
                let value = number(2, 16).and_then(|value| u8::try_from(value).ok());
                name.push(value.ok_or_else(wrong)?);
            }
            'u' | 'U' => {
                let digits = if escaped == 'u' { 4 } else { 8 };
                let value = number(digits, 16).and_then(char::from_u32);
                push(&mut name, value.ok_or_else(wrong)?);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives() {
        let names: [&[u8]; 6] = [
            b"plain",
            b"a\\b\"c",
            b"\x07\x08\x0c\n\r\t\x0b\x01",
            b"\xff\xfeab",
            "\u{e4}\u{1f600}".as_bytes(),
            b"\xe4x",
        ];
        for name in names {
            assert_eq!(unquote(&quote(name)).expect("its own text"), name);
        }
        assert_eq!(quote(b"\xff\n"), "\\xff\\n");
        assert_eq!(unquote("\\u00e4\\U0001f600").expect("Go's text"), "\u{e4}\u{1f600}".as_bytes());
        for wrong in ["\\", "\\q", "\\x1", "\\xzz", "\\ud800", "\\U00110000"] {
            assert!(unquote(wrong).is_err(), "{wrong}");
        }
    }
}
