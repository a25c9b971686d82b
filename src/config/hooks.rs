//! One `[hooks.NAME]` of the file: how an application is brought to rest.

use std::{collections::BTreeMap, time::Duration};

use berth_api::{ErrorKind, Result, VolumeName};

use super::section::{Key, Section};

/// The built-in hook; no section can have its name.
pub const PAUSE: &str = "pause";

/// What each part may take unless the section says otherwise, and the range of
/// what it may say: an application that is kept at rest for longer is down.
const TIMEOUT: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(10);

const KEYS: [(&str, Key); 3] =
    [("before", Key::Known), ("after", Key::Known), ("timeout", Key::Known)];

/// One `[hooks.NAME]`; at least one of its parts is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookConfig {
    /// Program and arguments that bring the application to rest.
    pub before: Option<Vec<String>>,
    /// Program and arguments that let it go on.
    pub after: Option<Vec<String>>,
    /// What each of them may take; 1 s to 10 min.
    pub timeout: Duration,
}

/// Reads all hooks.
pub(super) fn read(top: &Section<'_>) -> Result<BTreeMap<String, HookConfig>> {
    let mut hooks = BTreeMap::new();
    for (name, section) in top.children("hooks")? {
        hooks.insert(name.to_owned(), read_one(name, &section)?);
    }
    Ok(hooks)
}

fn read_one(name: &str, section: &Section<'_>) -> Result<HookConfig> {
    if name == PAUSE {
        let text = format!("hook name `{PAUSE}` is taken by the built-in hook");
        return Err(section.error(ErrorKind::Invalid, &text).with_hint("choose another name"));
    }
    if name.parse::<VolumeName>().is_err() {
        let shown: String = name.chars().take(40).collect();
        let text = format!("hook name `{}` is not allowed", shown.escape_debug());
        return Err(section.error(ErrorKind::Invalid, &text).with_hint(
            "use letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
        ));
    }
    section.check(&KEYS)?;
    let (before, after) = (section.command("before")?, section.command("after")?);
    if before.is_none() && after.is_none() {
        let text = format!("`{}` does nothing", section.full("before"));
        return Err(section
            .error(ErrorKind::Invalid, &text)
            .with_hint("give it `before`, `after`, or both"));
    }
    let timeout = section.duration("timeout")?.unwrap_or(TIMEOUT);
    if !(SHORTEST..=LONGEST).contains(&timeout) {
        let text = format!("`{}` must be between 1s and 10m", section.full("timeout"));
        return Err(section.error_at("timeout", ErrorKind::Invalid, &text));
    }
    Ok(HookConfig { before, after, timeout })
}
