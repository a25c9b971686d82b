//! A plugin socket served by the test itself: it records every call and answers
//! with what a closure says. [`Proxy`](super::proxy::Proxy) and fake plugins are
//! made of it.

use std::{
    fs,
    io::{BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::http::Message;

/// One call and its answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// `VolumeDriver.Mount`
    pub method: String,
    /// The body as it came.
    pub body: Vec<u8>,
    /// The reply's status.
    pub status: u16,
    /// The reply's body.
    pub reply: Vec<u8>,
}

impl Call {
    /// The body as JSON; null if it is none.
    pub fn request(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The reply as JSON; null if it is none.
    pub fn answer(&self) -> Value {
        serde_json::from_slice(&self.reply).unwrap_or_default()
    }
}

/// What a handler answers: status and body. `None` closes the connection.
pub type Answer = Option<(u16, Vec<u8>)>;

/// All calls so far, in the order of their answers.
pub type Calls = Arc<Mutex<Vec<Call>>>;

/// A listening socket; gone with its file when dropped.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    calls: Calls,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Listens at `socket` and lets `handler` answer every request.
    #[track_caller]
    pub fn start(
        socket: &Path,
        handler: impl Fn(&Message) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket)
            .unwrap_or_else(|error| panic!("listen at {}: {error}", socket.display()));
        let calls = Calls::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (handler, kept, ended) = (Arc::new(handler), Arc::clone(&calls), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { break };
                let (handler, calls) = (Arc::clone(&handler), Arc::clone(&kept));
                thread::spawn(move || converse(stream, &*handler, &calls));
            }
        });
        Self { socket: socket.to_owned(), calls, stop }
    }

    /// A plugin that keeps volumes as plain folders below `folder` and forgets
    /// them at its end. Its names are believed: for tests of the Engine only.
    #[track_caller]
    pub fn plain_plugin(socket: &Path, folder: PathBuf) -> Self {
        Self::start(socket, move |request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let name = asked["Name"].as_str().unwrap_or("");
            let path = folder.join(name);
            let found = !name.is_empty() && path.is_dir();
            let volume = || json!({"Name": name, "Mountpoint": path});
            let reply = match request.path() {
                "/Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
                "/VolumeDriver.Capabilities" => json!({"Capabilities": {"Scope": "local"}}),
                "/VolumeDriver.Create" => match fs::create_dir_all(&path) {
                    Ok(()) => json!({"Err": ""}),
                    Err(error) => json!({"Err": error.to_string()}),
                },
                "/VolumeDriver.List" => {
                    let names = fs::read_dir(&folder).into_iter().flatten().flatten();
                    let volumes: Vec<_> = names
                        .map(|entry| json!({"Name": entry.file_name().to_string_lossy()}))
                        .collect();
                    json!({"Volumes": volumes})
                }
                _ if !found => json!({"Err": "no such volume"}),
                "/VolumeDriver.Get" => json!({"Volume": volume()}),
                "/VolumeDriver.Mount" | "/VolumeDriver.Path" => json!({"Mountpoint": path}),
                "/VolumeDriver.Remove" => {
                    fs::remove_dir_all(&path).expect("ours");
                    json!({"Err": ""})
                }
                _ => json!({"Err": ""}),
            };
            Some((200, reply.to_string().into_bytes()))
        })
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// How often `method` (without `VolumeDriver.`) was answered so far.
    pub fn count(&self, method: &str) -> usize {
        let full = format!("VolumeDriver.{method}");
        lock(&self.calls).iter().filter(|call| call.method == full || call.method == method).count()
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        lock(&self.calls).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }
}

fn converse(stream: UnixStream, handler: &dyn Fn(&Message) -> Answer, calls: &Calls) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut from = BufReader::new(stream);
    while let Ok(Some(request)) = Message::read(&mut from) {
        let Some((status, reply)) = handler(&request) else { return };
        let head = format!(
            "HTTP/1.1 {status} Reply\r\nContent-Type: application/vnd.docker.plugins.v1.2+json\r\n\
             Content-Length: {}\r\n\r\n",
            reply.len()
        );
        let method = request.path().trim_start_matches('/').to_owned();
        let bytes = [head.as_bytes(), &reply].concat();
        lock(calls).push(Call { method, body: request.body, status, reply });
        if out.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn lock(calls: &Calls) -> MutexGuard<'_, Vec<Call>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
