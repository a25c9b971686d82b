//! A tee between Docker and the daemon: passes every call on and records it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
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
    /// The call that is lost next.
    lost: Arc<Mutex<Option<&'static str>>>,
}

impl Proxy {
    /// Tees between `socket` and `upstream`.
    #[track_caller]
    pub fn start(socket: &Path, upstream: PathBuf) -> Self {
        let lost = Arc::<Mutex<Option<&'static str>>>::default();
        let next = Arc::clone(&lost);
        let server = Server::start(socket, move |request| {
            let mut next = next.lock().expect("no panic");
            if next.is_some_and(|method| request.path().ends_with(method)) {
                *next = None;
                return None;
            }
            drop(next);
            forward(&upstream, request)
        });
        Self { server, lost }
    }

    /// From now on as [`Self::losing`].
    pub fn lose(&self, method: &'static str) {
        *self.lost.lock().expect("no panic") = Some(method);
    }

    /// As [`Self::start`], but the first call of `method` is read and then its
    /// connection closed, as by a plugin that dies with a call in flight.
    #[track_caller]
    pub fn losing(socket: &Path, upstream: PathBuf, method: &'static str) -> Self {
        let proxy = Self::start(socket, upstream);
        proxy.lose(method);
        proxy
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
