//! The accept loop, and handlers detached from connections.
//!
//! ```text
//! accept ─▶ connection ─▶ head, body ─▶ spawned handler ─▶ reply
//!              │ hangs up                    │ goes on by itself
//!              │ Stop::Draining: no further request is read
//!              └ Stop::Over: answered without waiting for the handler
//! ```
//!
//! It knows nothing of the protocols: a [`Service`] makes the replies.

use std::{
    error,
    fmt::{self, Debug},
    io,
    os::unix,
    sync::Arc,
    time::Duration,
};

use hyper::{Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Fault, Peer, Reply, Request, message,
    patience::{Patient, Progress},
};

/// Turns requests into replies.
pub trait Service: Debug + Send + Sync + 'static {
    /// Answers one request. Runs to its end even if the client hangs up.
    fn answer(self: Arc<Self>, request: Request) -> impl Future<Output = Reply> + Send + 'static;

    /// The reply for `path` where [`answer`](Self::answer) could not be asked, or
    /// gave none.
    fn excuse(&self, path: &str, fault: Fault) -> Reply;
}

/// What one server takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait in the backlog.
    pub connections: usize,
    /// How long the head of a request may take, and how long a peer may leave a
    /// reply untouched.
    pub stall: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// The largest body.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Docker uses a connection for each call in flight, and a Get must
            // find one while many a Mount waits.
            connections: 2048,
            stall: Duration::from_secs(10),
            body: Duration::from_secs(20),
            bytes: 1 << 20,
        }
    }
}

/// How far the server is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Serving,
    Draining,
    Over,
}

/// Resolves once the stop has come as far as `stage`.
async fn reached(stop: &mut watch::Receiver<Stop>, stage: Stop) {
    // A server that was dropped is over as well.
    let _ = stop.wait_for(|now| *now >= stage).await;
}

/// How long a stopping server still looks for requests that were sent before.
const LINGER: Duration = Duration::from_millis(50);

/// Resolves when idle connections are to be closed.
async fn lingered(stop: &mut watch::Receiver<Stop>) {
    reached(stop, Stop::Draining).await;
    tokio::time::sleep(LINGER).await;
}

/// A listening socket being served.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<Stop>,
    accepting: JoinHandle<()>,
    slots: Arc<Semaphore>,
    limits: Limits,
}

impl Server {
    /// Serves `listener` in the background. `inherited`: it outlives this
    /// process, and whoever is in its backlog at the stop can wait there.
    ///
    /// # Errors
    /// If the runtime does not take the listener.
    pub fn start<S: Service>(
        listener: unix::net::UnixListener,
        inherited: bool,
        service: Arc<S>,
        limits: Limits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(Stop::Serving);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let accepting = tokio::spawn(accept(
            listener,
            inherited,
            Connections {
                each: Connection { service, limits, stop: stopped },
                slots: Arc::clone(&slots),
            },
        ));
        Ok(Self { stop, accepting, slots, limits })
    }

    /// Stops: accepts nothing new, lets handlers end within `grace`, and answers
    /// for those that do not.
    pub async fn stop(self, grace: Duration) {
        let _ = self.stop.send(Stop::Draining);
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let drained = async {
            let _ = self.accepting.await;
            let _ = self.slots.acquire_many(all).await;
        };
        tokio::pin!(drained);
        if timeout(grace, drained.as_mut()).await.is_err() {
            let _ = self.stop.send(Stop::Over);
            // Long enough to write a line to a peer that reads.
            let _ = timeout(Duration::from_millis(500), drained).await;
        }
    }
}

/// Who serves connections, and how many at a time.
#[derive(Debug)]
struct Connections<S> {
    each: Connection<S>,
    slots: Arc<Semaphore>,
}

impl<S: Service> Connections<S> {
    /// Serves `stream` in the background for as long as it holds `slot`.
    fn spawn(&self, stream: UnixStream, slot: OwnedSemaphorePermit) {
        let connection = self.each.clone();
        tokio::spawn(async move {
            connection.serve(stream).await;
            drop(slot);
        });
    }
}

async fn accept<S: Service>(listener: UnixListener, inherited: bool, connections: Connections<S>) {
    let mut stop = connections.each.stop.clone();
    loop {
        let accepted = async {
            let slot = Arc::clone(&connections.slots).acquire_owned().await;
            (listener.accept().await, slot.expect("the semaphore is never closed"))
        };
        let accepted = tokio::select! {
            () = reached(&mut stop, Stop::Draining) => break,
            accepted = accepted => accepted,
        };
        match accepted {
            (Ok((stream, _)), slot) => connections.spawn(stream, slot),
            (Err(error), _) => {
                // Out of descriptors, as a rule: others have to go first.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if inherited {
        return;
    }
    // Nobody can connect any more, but who did may have written a request; reset,
    // it would come again with an empty body.
    while let Ok(slot) = Arc::clone(&connections.slots).try_acquire_owned() {
        match timeout(LINGER, listener.accept()).await {
            Ok(Ok((stream, _))) => connections.spawn(stream, slot),
            _ => break,
        }
    }
}

/// What a connection needs.
#[derive(Debug)]
struct Connection<S> {
    service: Arc<S>,
    limits: Limits,
    stop: watch::Receiver<Stop>,
}

impl<S> Clone for Connection<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), limits: self.limits, stop: self.stop.clone() }
    }
}

impl<S: Service> Connection<S> {
    async fn serve(self, stream: UnixStream) {
        let peer = Peer::of(&stream);
        let progress = Progress::default();
        let mut stop = self.stop.clone();
        let stream = TokioIo::new(Patient::new(stream, progress.clone(), self.limits.stall));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let (this, peer, progress) = (self.clone(), peer.clone(), progress.clone());
            async move {
                progress.begin();
                let reply = this.reply(request, peer).await;
                progress.end();
                if reply.hang_up { Err(HungUp) } else { Ok(Response::from(reply)) }
            }
        });
        let connection = http1::Builder::new()
            // Whoever has written all may close that half and wait for the reply.
            .half_close(true)
            .header_read_timeout(None)
            .max_buf_size(64 << 10)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = lingered(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }

    /// The reply to one request, whatever happens.
    async fn reply(mut self, request: hyper::Request<Incoming>, peer: Peer) -> Reply {
        let (head, body) = request.into_parts();
        let body = tokio::select! {
            body = message::read_body(body, self.limits.bytes, self.limits.body) => body,
            () = reached(&mut self.stop, Stop::Over) => Err(Fault::Stopping),
        };
        let body = match body {
            Ok(body) => body,
            Err(fault) => return self.service.excuse(head.uri.path(), fault).after(fault),
        };
        let path = head.uri.path().to_owned();
        let request = Request {
            method: head.method,
            path: path.clone(),
            query: head.uri.query().map(ToOwned::to_owned),
            body,
            peer,
        };
        // From here on the operation is nobody's but its own.
        let handler = tokio::spawn(Arc::clone(&self.service).answer(request));
        let fault = tokio::select! {
            answered = handler => match answered {
                Ok(reply) => return reply,
                Err(error) if error.is_panic() => Fault::Panicked,
                Err(_) => Fault::Stopping,
            },
            () = reached(&mut self.stop, Stop::Over) => Fault::Stopping,
        };
        self.service.excuse(&path, fault).after(fault)
    }
}

/// Makes hyper end a connection without a reply.
#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hung up on purpose")
    }
}

impl error::Error for HungUp {}

#[cfg(test)]
mod tests;
