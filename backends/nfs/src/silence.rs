//! Since when the server has not answered.

use std::{
    error::Error as _,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Error, ErrorKind, Health};

use crate::export::Export;

/// What the kernel says of a server that is away; `ESTALE` of one that does not know our
/// handles.
const OF_THE_SERVER: [i32; 8] = [
    libc::ESTALE,
    libc::ETIMEDOUT,
    libc::EIO,
    libc::ECONNREFUSED,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::EREMOTEIO,
];

/// What is known of the server of an export. Never locked over I/O.
#[derive(Debug)]
pub(crate) struct Silence {
    export: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    since: Option<Since>,
    /// When it last answered anything.
    heard: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Since {
    begun: Instant,
    why: String,
}

impl Silence {
    /// It is not known to be away.
    pub(crate) fn new(export: &Export) -> Self {
        Self { export: export.to_string(), known: Mutex::default() }
    }

    /// The server has answered.
    pub(crate) fn broken(&self) {
        *self.lock() = Known { since: None, heard: Some(Instant::now()) };
    }

    /// A call was answered. Of one that is known to be away that says nothing: it may
    /// have been on its way for long.
    pub(crate) fn heard(&self) {
        self.lock().heard = Some(Instant::now());
    }

    /// Whether it has answered anything so lately.
    pub(crate) fn was_heard_within(&self, time: Duration) -> bool {
        self.lock().heard.is_some_and(|heard| heard.elapsed() < time)
    }

    /// Notes a silence if that is what an error says.
    pub(crate) fn failed(&self, error: &Error) {
        if let Some(code) = is_of_the_server(error) {
            self.noted(io::Error::from_raw_os_error(code).to_string());
        }
    }

    /// How long it has been silent, if it is.
    pub(crate) fn lasting(&self) -> Option<Duration> {
        self.lock().since.as_ref().map(|since| since.begun.elapsed())
    }

    /// The server has not, since now unless it was silent before.
    pub(crate) fn noted(&self, why: impl Into<String>) {
        let mut known = self.lock();
        let begun = known.since.as_ref().map_or_else(Instant::now, |since| since.begun);
        known.since = Some(Since { begun, why: why.into() });
    }

    /// Whether the pool can be used, as far as the server is concerned.
    pub(crate) fn health(&self) -> Health {
        match &self.lock().since {
            None => Health::Ready,
            Some(since) => Health::Unavailable(since.told(&self.export)),
        }
    }

    /// What a call says that cannot be made now.
    pub(crate) fn error(&self) -> Option<Error> {
        let told = self.lock().since.as_ref().map(|since| since.told(&self.export))?;
        Some(
            Error::unavailable(told).with_hint(
                "containers that use its volumes wait; they go on when the server is back",
            ),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is one assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Since {
    fn told(&self, export: &str) -> String {
        let time = lasting(self.begun.elapsed());
        format!("the NFS server of `{export}` has not answered for {time}: {}", self.why)
    }
}

/// A duration as one reads it: `12 s`, `3 min`, `2 h`.
fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// What the kernel says where an NFS server is away, or is another one than before.
pub(crate) fn is_of_the_server(error: &Error) -> Option<i32> {
    if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal) {
        return None;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(code) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return OF_THE_SERVER.contains(&code).then_some(code);
        }
        source = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_as_long_as_since_its_beginning() {
        let options = "".parse().expect("none");
        let export = Export::new("nas", "/x", None, options).map_err(|(_, error)| error);
        let silence = Silence::new(&export.expect("valid"));
        assert_eq!(silence.health(), Health::Ready);
        silence.noted("timed out");
        let begun = silence.lock().since.clone().expect("noted").begun;
        silence.noted("refused");
        let since = silence.lock().since.clone().expect("noted");
        assert_eq!((since.begun, since.why.as_str()), (begun, "refused"));
        let error = silence.error().expect("silent").to_string();
        assert!(
            error.starts_with("the NFS server of `nas:/x` has not answered for 0 s: refused"),
            "{error}"
        );
        silence.heard();
        assert!(silence.error().is_some(), "an answer of before does not end it");
        silence.broken();
        assert!(silence.error().is_none());
        assert!(silence.was_heard_within(Duration::from_secs(60)));
    }

    #[test]
    fn times_are_read_at_a_glance() {
        let told = [5, 119, 120, 7199, 7200].map(|seconds| lasting(Duration::from_secs(seconds)));
        assert_eq!(told, ["5 s", "119 s", "2 min", "119 min", "2 h"]);
    }
}
