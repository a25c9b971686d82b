//! What a service sees of HTTP: a request whose body was read, and a reply.

use std::{fmt, time::Duration};

use berth_api::{Error, ErrorKind};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue},
};
use tokio::time::timeout;

use super::Peer;

/// How much of a body that is too large is read and thrown away, so that a
/// client that writes all before it reads sees the answer and no broken pipe.
const DISCARDED: usize = 16 << 20;

/// A request with its whole body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as sent, percent-encoding and all.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// The body.
    pub body: Bytes,
    /// Who asks.
    pub peer: Peer,
}

/// Why a request has no proper answer from its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The body has more bytes than this.
    TooLarge(usize),
    /// The body did not arrive in this time.
    TooSlow(Duration),
    /// The body ended before its announced end, or its framing is wrong.
    Truncated,
    /// The handler panicked.
    Panicked,
    /// The daemon is stopping, and the handler was still at work.
    Stopping,
}

impl Fault {
    /// The HTTP status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Truncated => StatusCode::BAD_REQUEST,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the rest of the connection can still be understood.
    fn ends_connection(self) -> bool {
        !matches!(self, Self::Panicked)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let (kind, text) = match fault {
            Fault::TooLarge(limit) => {
                (ErrorKind::Invalid, format!("request body is larger than {limit} bytes"))
            }
            Fault::TooSlow(limit) => {
                (ErrorKind::Invalid, format!("request body did not arrive in {limit:?}"))
            }
            Fault::Truncated => (ErrorKind::Invalid, "request body is truncated".to_owned()),
            Fault::Panicked => {
                let error = Self::internal("the daemon met a fault of its own");
                return error.with_hint("its log has the details; please report it");
            }
            Fault::Stopping => {
                let error = Self::unavailable("the daemon is stopping");
                return error.with_hint("repeat the call when it runs again");
            }
        };
        Self::new(kind, text)
    }
}

/// A reply, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What `Allow` says, in an answer to a method that is not allowed.
    pub allow: Option<&'static str>,
    /// Nothing more is read from this connection.
    pub close: bool,
    /// Nothing is written: the connection just ends. For where every answer would
    /// be taken for one that it is not.
    pub hang_up: bool,
}

impl Reply {
    /// A reply with this body.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, body: body.into(), allow: None, close: false, hang_up: false }
    }

    /// No reply: the connection ends.
    pub fn hang_up() -> Self {
        let mut reply = Self::new(StatusCode::BAD_REQUEST, "text/plain", []);
        reply.hang_up = true;
        reply
    }

    /// The reply to a fault: closes the connection where its rest cannot be
    /// understood.
    pub fn after(mut self, fault: Fault) -> Self {
        self.close = fault.ends_connection();
        self
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Self::new(Full::new(Bytes::from(reply.body)));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        if let Some(methods) = reply.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if reply.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Reads a body of at most `bytes`, within `patience`.
pub(super) async fn read_body(
    body: Incoming,
    bytes: usize,
    patience: Duration,
) -> Result<Bytes, Fault> {
    match timeout(patience, collect(body, bytes)).await {
        Ok(read) => read,
        Err(_) => Err(Fault::TooSlow(patience)),
    }
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let mut read = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::Truncated)?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total <= limit {
            read.extend_from_slice(&data);
        } else if total > DISCARDED {
            break;
        }
    }
    if total > limit { Err(Fault::TooLarge(limit)) } else { Ok(read.freeze()) }
}
