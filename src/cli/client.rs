//! The control socket, from the side of who asks.
//!
//! One connection for each request: the daemon may restart between two.

use std::{
    io,
    path::{Path, PathBuf},
};

use berth_api::{Context, Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, runtime::Runtime};

use crate::view::ErrorBody;

/// What a path segment may hold as it is: what names consist of.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The daemon, by its socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "start the client's runtime")?;
        Ok(Self { socket, runtime })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.request(Method::GET, path, None::<&()>)
    }

    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.request(Method::DELETE, path, None::<&()>)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.request(Method::POST, path, Some(body))
    }

    pub(super) fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.request(Method::PATCH, path, Some(body))
    }

    fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        let body = body
            .map_or_else(|| Ok(Vec::new()), serde_json::to_vec)
            .map_err(|error| Error::internal("write the request").with_source(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "berth")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::internal("make the request").with_source(error))?;
        let (status, answer) = self.runtime.block_on(self.send(request))?;
        decode(status, &answer)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| unreachable(&self.socket, error))?;
        let lost = |error: hyper::Error| {
            Error::unavailable("the daemon hung up before it answered")
                .with_hint("look at its log; `berth info` tells whether it is back")
                .with_source(error)
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // What goes wrong with the connection is seen by the request on it.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(lost)?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

/// The path of the control API with these segments.
pub(super) fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    segments.into_iter().fold("/v1".to_owned(), |mut path, segment| {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
        path
    })
}

fn decode<T: DeserializeOwned>(status: StatusCode, answer: &[u8]) -> Result<T> {
    let misunderstood = || {
        Error::internal(format!("the daemon's answer ({status}) is not understood"))
            .with_hint("daemon and command line may be of different versions: berth info")
    };
    if !status.is_success() {
        return Err(serde_json::from_slice::<ErrorBody>(answer)
            .map_or_else(|error| misunderstood().with_source(error), Error::from));
    }
    serde_json::from_slice(answer).map_err(|error| misunderstood().with_source(error))
}

fn unreachable(socket: &Path, error: io::Error) -> Error {
    let place = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::unavailable(format!("no permission to use the daemon's socket `{place}`"))
                .with_hint("run it as root, or as a member of the group `berth`")
        }
        _ => Error::unavailable(format!("cannot reach the daemon at `{place}`")).with_hint(
            "start it with `systemctl start berth` or `berth daemon`; \
             if it listens elsewhere: --socket PATH or BERTH_SOCKET",
        ),
    }
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        assert_eq!(path(["volumes", "db_1.tmp-x"]), "/v1/volumes/db_1.tmp-x");
        assert_eq!(path(["volumes", "a/../b?c%#é"]), "/v1/volumes/a%2F..%2Fb%3Fc%25%23%C3%A9");
    }
}
