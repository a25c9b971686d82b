//! What Docker asks, read from untrusted bytes.
//!
//! Strict where a lenient reader would act on something that nobody asked for:
//! an empty body, a missing name, a wrong type. Lenient where versions of Docker
//! differ: unknown fields, `null` options.

use std::collections::BTreeMap;

use berth_api::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;

/// Which of the nine calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `/Plugin.Activate`
    Activate,
    /// `/VolumeDriver.Create`
    Create,
    /// `/VolumeDriver.Remove`
    Remove,
    /// `/VolumeDriver.Mount`
    Mount,
    /// `/VolumeDriver.Unmount`
    Unmount,
    /// `/VolumeDriver.Path`
    Path,
    /// `/VolumeDriver.Get`
    Get,
    /// `/VolumeDriver.List`
    List,
    /// `/VolumeDriver.Capabilities`
    Capabilities,
}

impl Verb {
    /// All calls.
    pub const ALL: [Self; 9] = [
        Self::Activate,
        Self::Create,
        Self::Remove,
        Self::Mount,
        Self::Unmount,
        Self::Path,
        Self::Get,
        Self::List,
        Self::Capabilities,
    ];

    /// The call at this path, if there is one.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.path() == path)
    }

    /// The path of the call.
    pub fn path(self) -> &'static str {
        match self {
            Self::Activate => "/Plugin.Activate",
            Self::Create => "/VolumeDriver.Create",
            Self::Remove => "/VolumeDriver.Remove",
            Self::Mount => "/VolumeDriver.Mount",
            Self::Unmount => "/VolumeDriver.Unmount",
            Self::Path => "/VolumeDriver.Path",
            Self::Get => "/VolumeDriver.Get",
            Self::List => "/VolumeDriver.List",
            Self::Capabilities => "/VolumeDriver.Capabilities",
        }
    }
}

/// A call with what it carries. Names are not empty; the engine validates them,
/// ids and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Docker (re)connected.
    Activate,
    /// Make a volume.
    Create {
        /// Its name.
        name: String,
        /// `-o KEY=VALUE`, as given.
        options: BTreeMap<String, String>,
    },
    /// Remove a volume.
    Remove {
        /// Its name.
        name: String,
    },
    /// Mount a volume.
    Mount {
        /// Its name.
        name: String,
        /// Whose mount it is.
        id: String,
    },
    /// Take a mount back.
    Unmount {
        /// Its name.
        name: String,
        /// Whose mount it was.
        id: String,
    },
    /// Where is it mounted?
    Path {
        /// Its name.
        name: String,
    },
    /// Is there such a volume?
    Get {
        /// Its name.
        name: String,
    },
    /// Which volumes are there?
    List,
    /// Local or global?
    Capabilities,
}

impl Call {
    /// Which call it is.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Activate => Verb::Activate,
            Self::Create { .. } => Verb::Create,
            Self::Remove { .. } => Verb::Remove,
            Self::Mount { .. } => Verb::Mount,
            Self::Unmount { .. } => Verb::Unmount,
            Self::Path { .. } => Verb::Path,
            Self::Get { .. } => Verb::Get,
            Self::List => Verb::List,
            Self::Capabilities => Verb::Capabilities,
        }
    }

    /// The volume it is about.
    pub fn volume(&self) -> Option<&str> {
        match self {
            Self::Create { name, .. }
            | Self::Remove { name }
            | Self::Mount { name, .. }
            | Self::Unmount { name, .. }
            | Self::Path { name }
            | Self::Get { name } => Some(name),
            Self::Activate | Self::List | Self::Capabilities => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Creation {
    name: String,
    #[serde(default)]
    opts: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reference {
    name: String,
    #[serde(rename = "ID")]
    id: String,
}

/// Any object: List and Capabilities ask for nothing in particular.
#[derive(Deserialize)]
struct Anything {}

/// Reads the body of a call.
///
/// # Errors
/// `Invalid`, for whatever Docker would not send.
pub fn decode(verb: Verb, body: &[u8]) -> Result<Call> {
    // Activate is the one call without a body; whatever comes is ignored.
    if verb == Verb::Activate {
        return Ok(Call::Activate);
    }
    if body.is_empty() {
        return Err(Error::invalid(
            "request body is empty: the repetition of a request that was cut off",
        )
        .with_hint("repeat the command"));
    }
    Ok(match verb {
        Verb::Activate => Call::Activate,
        Verb::Create => {
            let Creation { name, opts } = parse(body)?;
            Call::Create { name: named(name)?, options: opts.unwrap_or_default() }
        }
        Verb::Remove => Call::Remove { name: name(body)? },
        Verb::Mount => {
            let (name, id) = reference(body)?;
            Call::Mount { name, id }
        }
        Verb::Unmount => {
            let (name, id) = reference(body)?;
            Call::Unmount { name, id }
        }
        Verb::Path => Call::Path { name: name(body)? },
        Verb::Get => Call::Get { name: name(body)? },
        Verb::List => {
            parse::<Anything>(body)?;
            Call::List
        }
        Verb::Capabilities => {
            parse::<Anything>(body)?;
            Call::Capabilities
        }
    })
}

fn name(body: &[u8]) -> Result<String> {
    named(parse::<Named>(body)?.name)
}

fn reference(body: &[u8]) -> Result<(String, String)> {
    let Reference { name, id } = parse(body)?;
    Ok((named(name)?, id))
}

fn named(name: String) -> Result<String> {
    if name.is_empty() { Err(Error::invalid("volume name is empty")) } else { Ok(name) }
}

/// Reads JSON, and says in one line what is wrong with it.
pub(in crate::http) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let wrong = |why: &str| Error::invalid(format!("request body {why}"));
    let text =
        std::str::from_utf8(body).map_err(|source| wrong("is not UTF-8").with_source(source))?;
    // A derived structure would also be read from an array, in field order.
    if !text.trim_start().starts_with('{') {
        return Err(wrong("is not a JSON object"));
    }
    serde_json::from_str(text).map_err(|source| {
        let why = match source.classify() {
            Category::Eof => "is truncated",
            Category::Data => "has a missing field or one of a wrong type",
            Category::Syntax | Category::Io => "is not JSON",
        };
        wrong(why).with_source(source)
    })
}

#[cfg(test)]
mod tests;
