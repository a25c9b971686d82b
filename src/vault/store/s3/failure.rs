//! What went wrong with a request, and what the user can do about it.
//!
//! The client keeps status and body of a refusal to itself; they are read from its
//! text, and tests against real servers hold that. Nothing else of that text is shown.

use std::{error::Error as Cause, io, time::Duration};

use berth_api::{Error, ErrorKind};
use object_store::client::{HttpError, HttpErrorKind};

use super::credentials::PROVIDER;
use crate::store::Denied;

/// What is shown of a server's own words, in characters.
const SHOWN: usize = 200;
/// What to do about a server that is in trouble.
const AGAIN: &str = "check the network and the server, then try again: what is complete is not \
                     stored a second time";

/// One failed request.
#[derive(Debug)]
pub(super) enum Failure {
    /// No such file; of a bucket that is there.
    Missing,
    /// The file is there already.
    Exists,
    /// A part was asked for that the file does not have.
    Short,
    /// There is no key, or none that can be read.
    Keyless(Box<Error>),
    /// Nobody listens there, or nobody knows the name.
    Away(String),
    /// The other side is not whom it should be.
    Untrusted(String),
    /// No answer for so long.
    Silent(Duration),
    /// The connection broke.
    Cut(String),
    /// The server said no.
    Refused(Refusal),
    /// The client itself would not.
    Other(String),
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// `NoSuchBucket` and the like; may be empty.
    pub(super) code: String,
    message: String,
    /// Where the bucket is, if that is what is wrong.
    region: Option<String>,
}

/// Whom it was asked of, for the texts.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) bucket: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) region: &'a str,
}

impl Failure {
    /// Whether the same request may succeed a moment later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Away(_) | Self::Silent(_) | Self::Cut(_) => true,
            Self::Refused(refusal) => refusal.passes(),
            _ => false,
        }
    }

    /// Whether nobody has answered at all.
    pub(super) fn unanswered(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Silent(_) | Self::Untrusted(_) | Self::Keyless(_))
    }

    /// For users: `what` was being done.
    pub(super) fn explain(self, what: &str, asked: &Asked<'_>) -> Error {
        let Asked { bucket, endpoint, .. } = asked;
        let unavailable = |text: String| Error::unavailable(format!("{what}: {text}"));
        match self {
            Self::Missing => Error::not_found(format!("{what}: it is not there")),
            Self::Exists => Error::conflict(format!("{what}: it is there already")),
            Self::Short => Error::corrupt(format!("{what}: it is cut off")),
            Self::Keyless(error) => error.context(what),
            Self::Away(why) => unavailable(format!("endpoint `{endpoint}` is not there: {why}"))
                .with_hint("check `endpoint` of the repository, and whether the server runs"),
            Self::Untrusted(why) => unavailable(format!(
                "endpoint `{endpoint}` is not trusted: {why}"
            ))
            .with_hint("install `ca-certificates`, or name your authority's file in SSL_CERT_FILE"),
            Self::Silent(limit) => {
                let limit = limit.as_secs();
                unavailable(format!("endpoint `{endpoint}` did not answer in {limit} s"))
                    .with_hint(AGAIN)
            }
            Self::Cut(why) => {
                unavailable(format!("the connection to endpoint `{endpoint}` broke: {why}"))
                    .with_hint(AGAIN)
            }
            Self::Refused(refusal) => refusal.explain(what, bucket, asked),
            Self::Other(why) => Error::internal(format!("{what}: {why}")),
        }
    }
}

impl Refusal {
    fn passes(&self) -> bool {
        let full = self.full();
        matches!(self.status, 408 | 429 | 500 | 502..=504) && !full && !self.skewed()
            || self.code == "RequestTimeout"
    }

    fn full(&self) -> bool {
        self.status == 507
            || ["QuotaExceeded", "StorageFull", "InsufficientStorage", "InsufficientCapacity"]
                .iter()
                .any(|word| self.code.contains(word))
    }

    fn skewed(&self) -> bool {
        self.code == "RequestTimeTooSkewed"
    }

    fn explain(self, what: &str, bucket: &str, asked: &Asked<'_>) -> Error {
        let Asked { endpoint, region, .. } = asked;
        let new = |kind, text: String| Error::new(kind, format!("{what}: {text}"));
        let no = ErrorKind::Unavailable;
        let said = self.said();
        match (self.status, self.code.as_str()) {
            _ if self.full() => {
                new(ErrorKind::Exhausted, format!("no space is left in bucket `{bucket}`{said}"))
                    .with_hint("remove backups and prune, or raise the bucket's quota")
            }
            _ if self.skewed() => {
                new(no, format!("the clocks of this host and of `{endpoint}` differ too much"))
                    .with_hint("set the clock: timedatectl set-ntp true")
            }
            (_, "NoSuchBucket") => {
                new(no, format!("there is no bucket `{bucket}` at `{endpoint}`")).with_hint(
                    format!("create bucket `{bucket}`, or correct `url` of the repository"),
                )
            }
            (
                _,
                "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken",
            )
            | (401, _) => new(no, format!("the credentials are refused{said}")).with_hint(
                "check the key and its secret: `credentials-profile`, or the environment",
            ),
            (301 | 307 | 308, _) | (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                let error = new(no, format!("bucket `{bucket}` is not in region `{region}`"));
                match self.region {
                    Some(right) => error.with_hint(format!("region = \"{right}\"")),
                    None => error.with_hint("set `region` of the repository to that of the bucket"),
                }
            }
            (403, _) => new(no, format!("access to bucket `{bucket}` is denied"))
                .with_source(Denied(self.words()))
                .with_hint(
                    "the key needs s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject; \
                     without the latter two it can only be read",
                ),
            (status, _) => {
                let passes = self.passes();
                let error = new(no, format!("endpoint `{endpoint}` answered {status}{said}"));
                if passes { error.with_hint(AGAIN) } else { error }
            }
        }
    }

    /// The server's words, as an addition.
    fn said(&self) -> String {
        if self.code.is_empty() && self.message.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.words())
        }
    }

    /// The server's words; at least its number.
    fn words(&self) -> String {
        let words = [self.code.as_str(), self.message.as_str()];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() { self.status.to_string() } else { words.join(": ") }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as Store;
        match error {
            Store::Generic { store: PROVIDER, source } => match source.downcast::<Error>() {
                Ok(error) => Self::Keyless(error),
                Err(source) => Self::Other(last(&*source)),
            },
            Store::AlreadyExists { .. } | Store::Precondition { .. } => Self::Exists,
            other => of(&other),
        }
    }
}

fn of(error: &object_store::Error) -> Failure {
    let mut next: Option<&(dyn Cause + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return of_transport(http);
        }
        next = cause.source();
    }
    let text = last(error);
    match refusal(&text) {
        Some(refusal) if refusal.status == 404 && refusal.code != "NoSuchBucket" => {
            Failure::Missing
        }
        Some(refusal) if refusal.status == 416 => Failure::Short,
        Some(refusal) => Failure::Refused(refusal),
        None if matches!(error, object_store::Error::NotFound { .. }) => Failure::Missing,
        None => Failure::Other(shorten(&text)),
    }
}

fn of_transport(error: &HttpError) -> Failure {
    let text = last(error);
    if text.contains("certificate") {
        return Failure::Untrusted(shorten(&text));
    }
    match error.kind() {
        // The one time limit that is the client's own.
        HttpErrorKind::Connect if text.contains("timed out") => {
            Failure::Silent(super::patience::CONNECT)
        }
        HttpErrorKind::Connect => Failure::Away(connect(error)),
        HttpErrorKind::Timeout => Failure::Silent(super::patience::CONNECT),
        _ => Failure::Cut(shorten(&text)),
    }
}

/// Why there is no connection, in the system's words.
fn connect(error: &HttpError) -> String {
    let mut next = error.source();
    let mut text = last(error);
    while let Some(cause) = next {
        if cause.to_string().contains("dns error") {
            return "its name is not known".to_owned();
        }
        if let Some(system) = cause.downcast_ref::<io::Error>()
            && system.kind() == io::ErrorKind::ConnectionRefused
        {
            "the connection is refused".clone_into(&mut text);
        }
        next = cause.source();
    }
    shorten(&text)
}

/// The innermost cause's text.
fn last(error: &dyn Cause) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}

fn refusal(text: &str) -> Option<Refusal> {
    if text.starts_with("Received redirect without LOCATION") {
        return Some(Refusal {
            status: 301,
            code: String::new(),
            message: String::new(),
            region: None,
        });
    }
    let (_, rest) = text.split_once("status code: ")?;
    let status = rest.get(..3)?.parse().ok()?;
    let element = |name: &str| {
        let (_, rest) = rest.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| shorten(value))
    };
    Some(Refusal {
        status,
        code: element("Code").unwrap_or_default(),
        message: element("Message").unwrap_or_default(),
        region: element("Region"),
    })
}

/// A foreign text in one short line.
fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> =
        Asked { bucket: "bucket", endpoint: "https://s3.example.org", region: "us-east-1" };

    fn said(status: &str, body: &str) -> Error {
        let text = format!("Server returned non-2xx status code: {status}: {body}");
        Failure::Refused(refusal(&text).expect("a refusal")).explain("read config", &ASKED)
    }

    #[test]
    fn each_refusal_has_its_kind_and_its_hint() {
        for (status, body, kind, text, hint) in [
            (
                "403 Forbidden",
                "<Code>SignatureDoesNotMatch</Code>",
                ErrorKind::Unavailable,
                "the credentials are refused (SignatureDoesNotMatch)",
                "credentials-profile",
            ),
            (
                "403 Forbidden",
                "<Code>RequestTimeTooSkewed</Code>",
                ErrorKind::Unavailable,
                "clocks of this host and of `https://s3.example.org` differ",
                "timedatectl",
            ),
            (
                "403 Forbidden",
                "<Code>AccessDenied</Code><Message>No\n</Message>",
                ErrorKind::Unavailable,
                "is denied: AccessDenied: No ",
                "s3:ListBucket",
            ),
            (
                "404 Not Found",
                "<Code>NoSuchBucket</Code>",
                ErrorKind::Unavailable,
                "there is no bucket `bucket`",
                "create bucket",
            ),
            (
                "507 Insufficient Storage",
                "",
                ErrorKind::Exhausted,
                "no space is left in bucket `bucket`",
                "prune",
            ),
            (
                "403 Forbidden",
                "<Code>QuotaExceeded</Code>",
                ErrorKind::Exhausted,
                "no space is left in bucket `bucket` (QuotaExceeded)",
                "prune",
            ),
            (
                "301 Moved Permanently",
                "",
                ErrorKind::Unavailable,
                "bucket `bucket` is not in region `us-east-1`",
                "set `region`",
            ),
            (
                "400 Bad Request",
                "<Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region>",
                ErrorKind::Unavailable,
                "is not in region `us-east-1`",
                "region = \"eu-west-1\"",
            ),
        ] {
            let error = said(status, body);
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(error.chain().contains(text), "{error:?}");
            assert!(error.hint().expect("a hint").contains(hint), "{:?}", error.hint());
        }
    }

    #[test]
    fn what_passes_is_asked_again_and_nothing_else() {
        for (text, passes) in [
            ("status code: 503 Slow Down: <Code>SlowDown</Code>", true),
            ("status code: 429 Too Many: ", true),
            ("status code: 400 Bad: <Code>RequestTimeout</Code>", true),
            ("status code: 500 E: <Code>XMinioStorageFull</Code>", false),
            ("status code: 501 Not Implemented: ", false),
            ("status code: 403 Forbidden: ", false),
            ("Received redirect without LOCATION, this", false),
        ] {
            assert_eq!(refusal(text).expect(text).passes(), passes, "{text}");
        }
        assert!(refusal("status code: ").is_none());
        assert!(refusal("something else").is_none());
    }
}
