//! Just enough HTTP/1.1 over a unix socket to be exact about every byte.

use std::{
    io::{self, BufRead, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longer than any deadline of Docker.
const PATIENCE: Duration = Duration::from_secs(130);

/// The first line, the headers and the body of a request or a reply.
#[derive(Clone, Debug)]
pub struct Message {
    /// `POST /VolumeDriver.Get HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub start: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its encoding.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A reply's status; 0 if this is none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// A request's path.
    pub fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error} in `{}`", self.start, self.text()))
    }

    /// Reads one message; `None` at a clean end.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(from)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        if message.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            message.body = chunks(from)?;
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            message.body = vec![0; length];
            from.read_exact(&mut message.body)?;
        } else if message.start.starts_with("HTTP/") {
            from.read_to_end(&mut message.body)?;
        }
        Ok(Some(message))
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(std::net::Shutdown::Write)
    }

    /// The next reply; `None` if the peer closed.
    pub fn receive(&mut self) -> io::Result<Option<Message>> {
        Message::read(&mut self.stream)
    }

    /// A request with a body as Docker sends it, and its reply.
    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Message> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: berth\r\n\
             Accept: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat())?;
        self.receive()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// One request on a connection of its own.
pub fn request(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<Message> {
    Connection::open(socket)?.request(method, path, body)
}

fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = size.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut chunk = vec![0; size];
        from.read_exact(&mut chunk)?;
        body.extend(chunk);
        line(from)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
