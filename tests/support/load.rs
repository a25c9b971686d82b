//! A client of both sockets that knows what a lost answer means.
//!
//! A campaign that kills the daemon must tell three cases apart: the request
//! was answered (acknowledged or refused), it never left us, or it left and the
//! answer was lost. Only the last one may have happened or not.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Answered without error.
    Done(Value),
    /// Answered with this error text.
    Refused(String),
    /// Sent, and the connection ended before an answer.
    Lost,
    /// The daemon was gone before a byte was sent.
    Unsent,
}

impl Answer {
    /// The value of an acknowledged request.
    #[track_caller]
    pub fn done(self) -> Value {
        match self {
            Self::Done(value) => value,
            other => panic!("expected success, got {other:?}"),
        }
    }

    /// The text of a refused request.
    #[track_caller]
    pub fn refused(self) -> String {
        match self {
            Self::Refused(text) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Whether the daemon answered at all.
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Refused(_))
    }
}

/// One client with a kept-alive connection to each socket.
#[derive(Debug)]
pub struct Client {
    plugin: Connection,
    control: Connection,
}

impl Client {
    /// Answers that take longer than this count as a hanging daemon.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// A client of the daemon behind these sockets; connects on first use.
    pub fn new(plugin: &Path, control: &Path) -> Self {
        Self { plugin: Connection::new(plugin), control: Connection::new(control) }
    }

    /// Forgets connections of before, which would mix up "unsent" and "lost".
    pub fn reconnect(&mut self) {
        self.plugin.stream = None;
        self.control.stream = None;
    }

    /// `POST /VolumeDriver.{method}`.
    pub fn docker(&mut self, method: &str, body: &Value) -> Answer {
        let path = format!("/VolumeDriver.{method}");
        match self.plugin.call("POST", &path, Some(body)) {
            Ok((200, value)) => match value["Err"].as_str() {
                None | Some("") => Answer::Done(value),
                Some(text) => Answer::Refused(text.to_owned()),
            },
            Ok((status, value)) => panic!("{path}: HTTP {status}, which Docker misreads: {value}"),
            Err(failure) => failure.into(),
        }
    }

    /// The length of Docker's List, unparsed: for timing the daemon alone.
    pub fn list_bytes(&mut self) -> usize {
        match self.plugin.exchange("POST", "/VolumeDriver.List", Some(&json!({}))) {
            Ok((200, body)) => body.len(),
            other => panic!("List: {other:?}"),
        }
    }

    /// `POST /Plugin.Activate`, with Docker's empty body: a new epoch begins.
    pub fn activate(&mut self) -> Answer {
        match self.plugin.call("POST", "/Plugin.Activate", None) {
            Ok((200, value)) => Answer::Done(value),
            Ok((status, value)) => panic!("Plugin.Activate: HTTP {status}: {value}"),
            Err(failure) => failure.into(),
        }
    }

    /// A call of the control API; refusals are `kind: message`.
    pub fn control(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match self.control.call(method, path, body) {
            Ok((200..=299, value)) => Answer::Done(value),
            Ok((_, value)) => {
                let text = |key: &str| value["error"][key].as_str().unwrap_or("?").to_owned();
                Answer::Refused(format!("{}: {}", text("kind"), text("message")))
            }
            Err(failure) => failure.into(),
        }
    }

    /// A call of the control API that begins a job, and the end of that job. Once
    /// it has begun, an answer that does not come is lost.
    pub fn job(&mut self, path: &str, body: &Value) -> Answer {
        let job = match self.control("POST", path, Some(body)) {
            Answer::Done(job) => job,
            other => return other,
        };
        let wait = format!("/v1/jobs/{}/wait", job["id"].as_str().expect("jobs have ids"));
        loop {
            let view = match self.control("GET", &wait, None) {
                Answer::Done(view) => view,
                Answer::Unsent => return Answer::Lost,
                other => return other,
            };
            let text = |key: &str| view[key].as_str().unwrap_or("?");
            match text("state") {
                "done" => return Answer::Done(view),
                "failed" | "cancelled" => {
                    return Answer::Refused(format!("{}: {}", text("error-kind"), text("error")));
                }
                _ => {}
            }
        }
    }

    /// Docker's Create.
    pub fn create(&mut self, name: &str, options: &Value) -> Answer {
        self.docker("Create", &json!({ "Name": name, "Opts": options }))
    }

    /// Docker's Mount.
    pub fn mount(&mut self, name: &str, id: &str) -> Answer {
        self.docker("Mount", &json!({ "Name": name, "ID": id }))
    }

    /// Docker's Unmount.
    pub fn unmount(&mut self, name: &str, id: &str) -> Answer {
        self.docker("Unmount", &json!({ "Name": name, "ID": id }))
    }

    /// Docker's Remove.
    pub fn remove(&mut self, name: &str) -> Answer {
        self.docker("Remove", &json!({ "Name": name }))
    }

    /// Docker's Get.
    pub fn get(&mut self, name: &str) -> Answer {
        self.docker("Get", &json!({ "Name": name }))
    }

    /// The names that Docker's List has.
    pub fn names(&mut self) -> Vec<String> {
        let list = self.docker("List", &json!({})).done();
        let volumes = list["Volumes"].as_array().expect("List has `Volumes`");
        volumes.iter().map(|v| v["Name"].as_str().expect("`Name` is text").to_owned()).collect()
    }

    /// The control API's view of one volume.
    pub fn view(&mut self, name: &str) -> Answer {
        self.control("GET", &format!("/v1/volumes/{name}"), None)
    }

    /// The views of all volumes, or of all removed ones; `None` if the daemon is
    /// gone.
    pub fn views(&mut self, removed: bool) -> Option<Vec<Value>> {
        self.list(if removed { "/v1/volumes?removed=true" } else { "/v1/volumes" })
    }

    /// The array that `path` answers; `None` if the daemon is gone.
    pub fn list(&mut self, path: &str) -> Option<Vec<Value>> {
        match self.control("GET", path, None) {
            Answer::Done(Value::Array(views)) => Some(views),
            Answer::Lost | Answer::Unsent => None,
            other => panic!("{path} answered {other:?}"),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug)]
enum Failure {
    Unsent,
    Lost,
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent => Self::Unsent,
            Failure::Lost => Self::Lost,
        }
    }
}

#[derive(Debug)]
struct Connection {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl Connection {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), stream: None }
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), Failure> {
        let (status, body) = self.exchange(method, path, body)?;
        Ok((status, if body.is_empty() { Value::Null } else { parse(&body) }))
    }

    /// As [`Self::call`], with the body as it came.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.path).map_err(|_| Failure::Unsent)?,
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: berth\r\n\
             Accept: application/vnd.docker.plugins.v1.2+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        let mut sent = 0;
        while sent < request.len() {
            match stream.write(&request.as_bytes()[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if sent == 0 => return Err(Failure::Unsent),
                Err(_) => return Err(Failure::Lost),
            }
        }
        let answer = receive(&mut stream).map_err(|error| {
            assert!(
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                "{method} {path} {body}: no answer in {:?}",
                Client::PATIENCE
            );
            Failure::Lost
        })?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Client::PATIENCE))?;
    stream.set_write_timeout(Some(Client::PATIENCE))?;
    Ok(stream)
}

/// Status and body of the next response. A body that ends early is an
/// answer that was lost.
fn receive(stream: &mut UnixStream) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, &mut bytes)?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else {
        panic!("an answer without status or content-length: {text}");
    };
    while bytes.len() < head + length {
        read_more(stream, &mut bytes)?;
    }
    Ok((status, bytes[head..head + length].to_vec()))
}

fn parse(body: &[u8]) -> Value {
    // `/metrics` answers text.
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

fn read_more(stream: &mut UnixStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}
