//! The SELinux label that a pool gives its volumes.

use std::{fmt, str::FromStr};

use crate::Error;

/// A context such as `system_u:object_r:container_file_t:s0:c1,c2`: checked for
/// its form; whether the host's policy knows it only the kernel can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

/// The longest text; all categories of a level fit.
const LONGEST: usize = 1024;
/// How many sensitivities and categories the reference policy has at most.
const SENSITIVITIES: u32 = 16;
const CATEGORIES: u32 = 1024;

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The level may have colons of its own; hosts without levels leave it out.
        let parts: Vec<_> = text.splitn(4, ':').collect();
        let well_formed = match parts.as_slice() {
            [user, role, kind] => [user, role, kind].into_iter().all(|word| is_word(word)),
            [user, role, kind, range] => {
                [user, role, kind].into_iter().all(|word| is_word(word)) && is_range(range)
            }
            _ => false,
        };
        if well_formed && text.len() <= LONGEST {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(60).collect();
        Err(Error::invalid(format!("`{}` is no SELinux context", shown.escape_debug()))
            .with_hint("user:role:type:level, such as \"system_u:object_r:container_file_t:s0\""))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// `s0`, `s0:c1,c5.c9`, or a low and a high one joined by a hyphen.
fn is_range(text: &str) -> bool {
    let mut levels = text.split('-');
    levels.by_ref().take(2).all(is_level) && levels.next().is_none()
}

fn is_level(text: &str) -> bool {
    let (sensitivity, categories) = match text.split_once(':') {
        Some((sensitivity, categories)) => (sensitivity, Some(categories)),
        None => (text, None),
    };
    let known = number(sensitivity, 's', SENSITIVITIES).is_some();
    known && categories.is_none_or(|list| list.split(',').all(is_categories))
}

/// `c3`, or `c3.c7` for all from the one to the other.
fn is_categories(text: &str) -> bool {
    let category = |text| number(text, 'c', CATEGORIES);
    match text.split_once('.') {
        None => category(text).is_some(),
        Some((first, last)) => {
            matches!((category(first), category(last)), (Some(first), Some(last)) if first < last)
        }
    }
}

fn number(text: &str, letter: char, end: u32) -> Option<u32> {
    let digits = text.strip_prefix(letter)?;
    let plain = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_as_policies_have_them() {
        for text in [
            "system_u:object_r:container_file_t:s0",
            "system_u:object_r:container_file_t:s0:c1,c2",
            "system_u:object_r:svirt_sandbox_file_t:s0:c0.c1023",
            "user_u:object_r:t:s0-s15:c0.c3,c7",
            "system_u:object_r:container_file_t",
        ] {
            assert_eq!(text.parse::<Label>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let long = format!("{}:r:t:s0", "u".repeat(LONGEST));
        for text in [
            "",
            "container_file_t",
            "u:r",
            "u:r::s0",
            "u:r:t:",
            "u:r:t:s16",
            "u:r:t:0",
            "u:r:t:s0:",
            "u:r:t:s0:c1024",
            "u:r:t:s0:c2.c1",
            "u:r:t:s0:c1,,c2",
            "u:r:t:s0:c+1",
            "u:r:t:s0-s1-s2",
            "u:r:t:s0 ",
            "u:r:t/x:s0",
            "u:r:t:s0\0",
            &long,
        ] {
            assert!(text.parse::<Label>().is_err(), "{text}");
        }
    }
}
