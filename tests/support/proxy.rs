//! A tee between Docker and the daemon: passes every call on and records it.

use std::path::{Path, PathBuf};

use super::{http, server::Server};

/// Listens where Docker looks and asks the daemon's own socket.
///
/// While the daemon is down it closes connections where the daemon's socket
/// would refuse them: not for tests that kill the daemon.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
}

impl Proxy {
    /// Tees between `socket` and `upstream`.
    #[track_caller]
    pub fn start(socket: &Path, upstream: PathBuf) -> Self {
        let server = Server::start(socket, move |request| {
            let reply = http::request(&upstream, "POST", request.path(), &request.body).ok()?;
            Some((reply.status(), reply.body))
        });
        Self { server }
    }
}

impl std::ops::Deref for Proxy {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
