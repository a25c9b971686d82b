//! A tee between Docker and the daemon: passes every call on and records it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    http::{self, Message},
    server::{Answer, Server},
};

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
        Self { server: Server::start(socket, move |request| forward(&upstream, request)) }
    }

    /// As [`Self::start`], but the first call of `method` is read and then its
    /// connection closed, as by a plugin that dies with a call in flight.
    #[track_caller]
    pub fn losing(socket: &Path, upstream: PathBuf, method: &'static str) -> Self {
        let lost = AtomicBool::new(false);
        let server = Server::start(socket, move |request| {
            if request.path().ends_with(method) && !lost.swap(true, Ordering::SeqCst) {
                return None;
            }
            forward(&upstream, request)
        });
        Self { server }
    }
}

fn forward(upstream: &Path, request: &Message) -> Answer {
    let reply = http::request(upstream, "POST", request.path(), &request.body).ok()?;
    Some((reply.status(), reply.body))
}

impl std::ops::Deref for Proxy {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
