//! `moto_server`: takes every secret, and keeps objects in memory.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
};

use berth_vault::store::s3::{Credentials, S3, S3Settings};

use super::{
    process::{Process, program},
    s3s::BUCKET,
};

/// A server with one bucket.
#[derive(Debug)]
pub(crate) struct Moto {
    process: Process,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let process = Process::start(|address: SocketAddr| {
            let mut command = Command::new(program("BERTH_MOTO"));
            command.args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()]);
            command.env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false");
            command
        });
        let moto = Self { process };
        let mut stream = TcpStream::connect(moto.process.address).unwrap();
        let host = moto.process.address;
        write!(
            stream,
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request\r\n\
             Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        moto
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.process.address)
    }

    /// A repository below `prefix`.
    pub(crate) fn settings(&self, prefix: &str) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint()),
            credentials: Credentials::Given { key_id: "any".to_owned(), secret: "any".to_owned() },
            ..S3Settings::default()
        }
    }

    pub(crate) fn store(&self, prefix: &str) -> S3 {
        S3::open(self.settings(prefix)).unwrap()
    }
}
