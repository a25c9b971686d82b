//! `KEY=VALUE`, as `-o` and `volume set` take it.

use std::{collections::BTreeMap, str::FromStr};

use berth_api::{Error, Result};

/// One option with its value. The value may contain `=`.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    key: String,
    value: String,
}

impl FromStr for Assignment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(Error::invalid("write KEY=VALUE")),
        }
    }
}

/// All options by their keys.
///
/// # Errors
/// `Invalid` if one is given twice: which of them was meant?
pub(super) fn collect(assignments: Vec<Assignment>) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for Assignment { key, value } in assignments {
        if let Some(first) = options.get(&key) {
            return Err(Error::invalid(format!(
                "option `{key}` is given twice: `{first}` and `{value}`"
            )));
        }
        options.insert(key, value);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_separates() {
        let one: Assignment = "mkfs-options=-O a=b".parse().expect("valid");
        assert_eq!((one.key.as_str(), one.value.as_str()), ("mkfs-options", "-O a=b"));
        let empty: Assignment = "key=".parse().expect("an empty value is a value");
        assert_eq!(empty.value, "");
        assert!("key".parse::<Assignment>().is_err());
        assert!("=value".parse::<Assignment>().is_err());
    }

    #[test]
    fn a_repeated_key_is_refused() {
        let twice = ["uid=1", "uid=1"].map(|text| text.parse().expect("valid"));
        assert!(collect(twice.into()).is_err());
    }
}
