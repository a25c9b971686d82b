//! A daemon that is none: answers what the test says, and remembers what it was
//! asked.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{berth, said};

/// A daemon that knows its answers by heart.
pub(crate) struct StandIn {
    _folder: TempDir,
    socket: PathBuf,
    /// What it was asked: `METHOD PATH BODY`.
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    /// `answers`: `METHOD PATH` → status and body. A path that is asked more
    /// often than it has answers gets the last one again.
    pub(crate) fn new(answers: &[(&str, u16, Value)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("berth.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut by_request = BTreeMap::<String, Vec<(u16, Value)>>::new();
        for (request, status, body) in answers.iter().rev() {
            by_request.entry((*request).to_owned()).or_default().push((*status, body.clone()));
        }
        let log = Arc::clone(&asked);
        // Ends with the process: nothing waits for it.
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.expect("a connection"), &mut by_request, &log);
            }
        });
        Self { _folder: folder, socket, asked }
    }

    /// What `berth WORDS` says.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        let output =
            berth(words).env("BERTH_SOCKET", &self.socket).output().expect("the program starts");
        said(&output)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic there").clone()
    }
}

fn serve(
    mut stream: UnixStream,
    answers: &mut BTreeMap<String, Vec<(u16, Value)>>,
    log: &Mutex<Vec<String>>,
) {
    let (head, body) = read(&mut stream);
    let mut words = head.split_whitespace();
    let request = format!("{} {}", words.next().unwrap_or(""), words.next().unwrap_or(""));
    log.lock().expect("no panic there").push(format!("{request} {body}").trim().to_owned());
    let (status, body) = match answers.get_mut(&request) {
        Some(many) if many.len() > 1 => many.pop().expect("more than one"),
        Some(one) => one[0].clone(),
        None => (500, json!({ "error": { "kind": "internal", "message": request, "hint": null }})),
    };
    let body = body.to_string();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).expect("the client reads");
}

fn read(stream: &mut UnixStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).expect("a request");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return (head.to_owned(), body.to_owned());
        }
    }
}
