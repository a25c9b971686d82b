//! What the fake was told.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use berth_api::{Error, ErrorKind, Observed, Result};

/// Every word before the equals sign.
const CALLS: [&str; 29] = [
    "*",
    "identify",
    "take-over",
    "plan",
    "create",
    "create-from",
    "content",
    "apply",
    "describe",
    "remove",
    "restore",
    "purge",
    "attach",
    "detach",
    "inspect",
    "list",
    "health",
    "capacity",
    "estimate",
    "snapshot-plan",
    "snapshot",
    "snapshot-remove",
    "snapshot-purge",
    "snapshot-inspect",
    "snapshot-list",
    "clone",
    "roll-back",
    "replace",
    "undo-roll-back",
];

/// What a call is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Pending(u32),
    Hang,
    Delay(Duration),
    Error(ErrorKind),
    FailAfter(ErrorKind),
    Lie,
    Say(Observed),
}

/// All orders, and how far they were followed.
#[derive(Debug)]
pub(crate) struct Script {
    configured: Vec<(String, Behaviour)>,
    file: PathBuf,
    /// `Pending`s that were answered, by call and volume.
    pending: Mutex<HashMap<(String, String), u32>>,
}

impl Script {
    /// The orders for the pool at `path`.
    ///
    /// # Errors
    /// `Invalid` for what is no order.
    pub(crate) fn new(path: &Path, settings: &BTreeMap<String, String>) -> Result<Self> {
        let mut file = OsString::from(path);
        file.push(".fake");
        let configured =
            settings.iter().map(|(call, text)| order(call, text)).collect::<Result<_>>()?;
        Ok(Self { configured, file: file.into(), pending: Mutex::default() })
    }

    /// What `call` is told to do now.
    ///
    /// # Errors
    /// `Invalid` if the file holds what is no order: a test that misspells one
    /// must not pass for that.
    pub(crate) fn behaviour(&self, call: &str) -> Result<Option<Behaviour>> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|error| Error::invalid("`.fake` file").with_source(error))?,
        };
        let mut orders = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (call, text) = line.split_once('=').ok_or_else(|| wrong(line))?;
            orders.push(order(call.trim(), text.trim())?);
        }
        orders.extend(self.configured.iter().cloned());
        let find = |wanted: &str| {
            orders.iter().find(|(call, _)| call == wanted).map(|(_, behaviour)| *behaviour)
        };
        Ok(find(call).or_else(|| find("*")))
    }

    /// Counts a `Pending` of `call` on `volume`; false if it had all its `times`.
    pub(crate) fn wait_again(&self, call: &str, volume: &str, times: u32) -> bool {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = pending.entry((call.to_owned(), volume.to_owned())).or_default();
        let again = *answered < times;
        *answered += u32::from(again);
        again
    }
}

fn order(call: &str, text: &str) -> Result<(String, Behaviour)> {
    let line = || format!("{call}={text}");
    if !CALLS.contains(&call) {
        return Err(wrong(&line()));
    }
    let (word, value) = text.split_once(':').unwrap_or((text, ""));
    let kind = || {
        let name = serde_json::Value::String(value.to_owned());
        serde_json::from_value(name).map_err(|source| wrong(&line()).with_source(source))
    };
    let number = || value.parse().map_err(|source| wrong(&line()).with_source(source));
    let behaviour = match (word, value) {
        ("pending", "") => Behaviour::Pending(u32::MAX),
        ("pending", _) => Behaviour::Pending(number()?),
        ("hang", "") => Behaviour::Hang,
        ("delay", _) => Behaviour::Delay(Duration::from_millis(number()?.into())),
        ("error", _) => Behaviour::Error(kind()?),
        ("fail-after", "") => Behaviour::FailAfter(ErrorKind::Internal),
        ("fail-after", _) => Behaviour::FailAfter(kind()?),
        ("lie", "") => Behaviour::Lie,
        ("say", "absent") => Behaviour::Say(Observed::Absent),
        ("say", "incomplete") => Behaviour::Say(Observed::Incomplete),
        ("say", "empty") => Behaviour::Say(Observed::Present { empty: true }),
        ("say", "present") => Behaviour::Say(Observed::Present { empty: false }),
        ("say", "trashed") => Behaviour::Say(Observed::Trashed),
        _ => return Err(wrong(&line())),
    };
    Ok((call.to_owned(), behaviour))
}

fn wrong(line: &str) -> Error {
    Error::invalid(format!("`{}` is no order for the fake backend", line.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_misspelt_ones_refused() {
        let read = |call, text| order(call, text).map(|(_, behaviour)| behaviour);
        assert_eq!(read("create", "pending:3").expect("valid"), Behaviour::Pending(3));
        assert_eq!(
            read("create", "error:exhausted").expect("valid"),
            Behaviour::Error(ErrorKind::Exhausted)
        );
        assert_eq!(
            read("*", "delay:500").expect("valid"),
            Behaviour::Delay(Duration::from_millis(500))
        );
        assert_eq!(read("create", "pending").expect("valid"), Behaviour::Pending(u32::MAX));
        let wrong = [
            ("creat", "hang"),
            ("create", "pending:soon"),
            ("create", "error:sad"),
            ("create", "hang:3"),
            ("create", ""),
            ("inspect", "say:nothing"),
        ];
        for (call, text) in wrong {
            let error = read(call, text).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{call}={text}");
        }
    }
}
