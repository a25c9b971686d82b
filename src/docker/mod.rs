//! Docker's API, as far as Berth calls it: containers of a volume are paused and
//! let go on.
//!
//! Never called from a handler of the plugin socket: dockerd calls the plugin at
//! boot before it serves its own API, and both would wait. Every call has a
//! deadline, a bounded answer and a connection of its own.

#[cfg(test)]
mod tests;

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::UnixStream;

/// Where Docker serves its API unless somebody says otherwise.
pub const SOCKET: &str = "/run/docker.sock";

/// What one call may take. Freezing a container waits for what its processes are
/// doing in the kernel.
const LIMIT: Duration = Duration::from_secs(20);
/// The longest answer: some kilobytes for each container.
const LONGEST: usize = 32 << 20;

/// One Engine, by the socket of its API.
#[derive(Clone, Debug)]
pub struct Docker {
    socket: PathBuf,
}

/// A container, as `GET /containers/json` shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// `running`, `paused`, `restarting` and others.
    pub state: String,
    /// What is mounted in it.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

/// A mount of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `volume`, `bind` and others.
    #[serde(default, rename = "Type")]
    pub kind: String,
    /// The volume's name; empty for what is none.
    #[serde(default)]
    pub name: String,
    /// The volume's driver; empty for what is none.
    #[serde(default)]
    pub driver: String,
}

/// What became of a request to pause a container or to let it go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done,
    /// It was so before, or the container cannot be paused now.
    Not,
    /// The container is gone.
    Gone,
}

impl Docker {
    /// The Engine at `socket`; else where `DOCKER_HOST` says, if that is a unix
    /// socket; else at [`SOCKET`].
    pub fn at(socket: Option<&Path>) -> Self {
        let named = || {
            let text = env::var("DOCKER_HOST").ok()?;
            let path = text.strip_prefix("unix://").map(PathBuf::from)?;
            path.is_absolute().then_some(path)
        };
        let socket = socket.map(ToOwned::to_owned).or_else(named);
        Self { socket: socket.unwrap_or_else(|| SOCKET.into()) }
    }

    /// The containers that run (paused or not) and have a mount of the volume
    /// `name`. Docker also finds those with a mount *at* `name`: look at
    /// [`Container::mounts`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn containers_of(&self, name: &str) -> Result<Vec<Container>> {
        let filters = serde_json::json!({ "volume": [name] }).to_string();
        let filters = utf8_percent_encode(&filters, NON_ALPHANUMERIC);
        let path = format!("/containers/json?filters={filters}");
        let (status, body) = self.call(Method::GET, &path).await?;
        if status != StatusCode::OK {
            return Err(self.refused("list containers", status, &body));
        }
        let found: Vec<Container> = self.read(&body)?;
        match found.iter().find(|container| !is_id(&container.id)) {
            // It becomes part of a path.
            Some(strange) => Err(Error::unavailable(format!(
                "docker names a container `{}`",
                strange.id.chars().take(80).collect::<String>().escape_debug()
            ))),
            None => Ok(found),
        }
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// `Unavailable`; it may be frozen nevertheless.
    pub async fn pause(&self, id: &str) -> Result<Changed> {
        self.change(id, "pause").await
    }

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unpause(&self, id: &str) -> Result<Changed> {
        self.change(id, "unpause").await
    }

    async fn change(&self, id: &str, verb: &str) -> Result<Changed> {
        if !is_id(id) {
            return Err(Error::internal(format!("`{}` is no container", id.escape_debug())));
        }
        let (status, body) = self.call(Method::POST, &format!("/containers/{id}/{verb}")).await?;
        match status {
            StatusCode::NO_CONTENT | StatusCode::OK => Ok(Changed::Done),
            StatusCode::NOT_FOUND => Ok(Changed::Gone),
            // Not running, restarting, paused already, not paused.
            StatusCode::CONFLICT => Ok(Changed::Not),
            // Older Engines say the same with a 500.
            _ if says_not_so(&body) => Ok(Changed::Not),
            _ => Err(self.refused(&format!("{verb} container {}", &id[..12]), status, &body)),
        }
    }

    async fn call(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
        tokio::time::timeout(LIMIT, self.send(method, path))
            .await
            .unwrap_or_else(|_| Err(self.away(&format!("did not answer in {} s", LIMIT.as_secs()))))
    }

    async fn send(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Error::internal("make a request to docker").with_source(error))?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.away("cannot be reached").with_source(error))?;
        let lost = |error: hyper::Error| self.away("hung up").with_source(error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // What goes wrong with the connection is seen by the request on it.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        connection.abort();
        let body = body.map_err(|error| self.away("did not answer whole").with_source(error))?;
        Ok((status, body.to_bytes()))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body)
            .map_err(|error| self.away("answered what is not understood").with_source(error))
    }

    fn away(&self, what: &str) -> Error {
        Error::unavailable(format!("docker at `{}` {what}", self.socket.display())).with_hint(
            "if its API is elsewhere, say so in the configuration: docker-socket = \"/run/docker.sock\"",
        )
    }

    fn refused(&self, what: &str, status: StatusCode, body: &[u8]) -> Error {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let said = serde_json::from_slice::<Refusal>(body).map_or_else(
            |_| "without a word".to_owned(),
            |refusal| {
                refusal.message.chars().take(400).collect::<String>().escape_debug().to_string()
            },
        );
        let code = status.as_u16();
        Error::unavailable(format!(
            "{what}: docker at `{}` answered {code}: {said}",
            self.socket.display()
        ))
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn says_not_so(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    ["is not paused", "is already paused", "is not running", "is restarting"]
        .iter()
        .any(|said| text.contains(said))
}
