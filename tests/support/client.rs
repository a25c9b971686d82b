//! The two sockets of the daemon, spoken to as Docker and the command line do.

use std::{io, path::PathBuf};

use serde_json::{Value, json};

use super::http::{self, Message};

/// The plugin socket. Each call has a connection of its own.
///
/// The shorthands answer `Err(text)` for a non-empty `Err` and panic on anything
/// that Docker could not read.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Where it is.
    pub socket: PathBuf,
}

impl Plugin {
    /// `POST /METHOD` with a raw body.
    pub fn raw(&self, method: &str, body: &[u8]) -> io::Result<Message> {
        http::request(&self.socket, "POST", &format!("/{method}"), body)
    }

    /// `POST /METHOD`; the reply if it has no `Err`.
    #[track_caller]
    pub fn call(&self, method: &str, body: &Value) -> Result<Value, String> {
        self.attempt(method, body).unwrap_or_else(|error| panic!("{method} {body}: {error}"))
    }

    /// As [`Self::call`], for daemons that may die meanwhile: a transport error
    /// says that the answer is unknown.
    #[track_caller]
    pub fn attempt(&self, method: &str, body: &Value) -> io::Result<Result<Value, String>> {
        let reply = self.raw(method, body.to_string().as_bytes())?;
        assert_eq!(reply.status(), 200, "{method} {body}: {} {}", reply.start, reply.text());
        let value = reply.json();
        Ok(match value["Err"].as_str() {
            Some(text) if !text.is_empty() => Err(text.to_owned()),
            _ => Ok(value),
        })
    }

    /// `Plugin.Activate`, with its empty body: a new epoch begins.
    #[track_caller]
    pub fn activate(&self) -> Value {
        let reply = self.raw("Plugin.Activate", b"").expect("an answer");
        assert_eq!(reply.status(), 200, "Activate: {}", reply.text());
        reply.json()
    }

    /// `VolumeDriver.Create`; `options` is an object or null.
    #[track_caller]
    pub fn create(&self, name: &str, options: &Value) -> Result<(), String> {
        self.call("VolumeDriver.Create", &json!({"Name": name, "Opts": options})).map(drop)
    }

    /// `VolumeDriver.Remove`
    #[track_caller]
    pub fn remove(&self, name: &str) -> Result<(), String> {
        self.call("VolumeDriver.Remove", &json!({"Name": name})).map(drop)
    }

    /// `VolumeDriver.Mount`; the mountpoint.
    #[track_caller]
    pub fn mount(&self, name: &str, id: &str) -> Result<PathBuf, String> {
        self.call("VolumeDriver.Mount", &json!({"Name": name, "ID": id}))
            .map(|reply| mountpoint(&reply))
    }

    /// `VolumeDriver.Unmount`
    #[track_caller]
    pub fn unmount(&self, name: &str, id: &str) -> Result<(), String> {
        self.call("VolumeDriver.Unmount", &json!({"Name": name, "ID": id})).map(drop)
    }

    /// `VolumeDriver.Path`; the mountpoint.
    #[track_caller]
    pub fn path(&self, name: &str) -> Result<PathBuf, String> {
        self.call("VolumeDriver.Path", &json!({"Name": name})).map(|reply| mountpoint(&reply))
    }

    /// `VolumeDriver.Get`; the `Volume`.
    #[track_caller]
    pub fn get(&self, name: &str) -> Result<Value, String> {
        self.call("VolumeDriver.Get", &json!({"Name": name})).map(|reply| reply["Volume"].clone())
    }

    /// `VolumeDriver.List`; the `Volumes`.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        let reply = self.call("VolumeDriver.List", &json!({})).expect("List does not fail");
        reply["Volumes"].as_array().expect("an array of volumes").clone()
    }

    /// `VolumeDriver.Capabilities`; the scope.
    #[track_caller]
    pub fn scope(&self) -> String {
        let reply = self.call("VolumeDriver.Capabilities", &json!({})).expect("no error");
        reply["Capabilities"]["Scope"].as_str().expect("a scope").to_owned()
    }
}

/// The control socket.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where it is.
    pub socket: PathBuf,
}

impl Control {
    /// A request with a JSON body (or none); status and JSON of the reply.
    pub fn attempt(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let reply = http::request(&self.socket, method, path, body.as_bytes())?;
        let value = if reply.body.is_empty() { Value::Null } else { reply.json() };
        Ok((reply.status(), value))
    }

    /// As [`Self::attempt`], where the daemon is known to live.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.attempt(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A request that must succeed.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, value) = self.request(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {value}");
        value
    }

    /// `GET /v1/info`
    #[track_caller]
    pub fn info(&self) -> Value {
        self.ok("GET", "/v1/info", None)
    }

    /// `GET /v1/volumes`
    #[track_caller]
    pub fn volumes(&self) -> Vec<Value> {
        self.ok("GET", "/v1/volumes", None).as_array().expect("an array").clone()
    }

    /// `GET /v1/volumes/NAME`
    #[track_caller]
    pub fn volume(&self, name: &str) -> Value {
        self.ok("GET", &format!("/v1/volumes/{name}"), None)
    }

    /// The counted mounts of a volume.
    #[track_caller]
    pub fn references(&self, name: &str) -> u64 {
        self.volume(name)["references"].as_u64().expect("a number")
    }

    /// `POST /v1/volumes`
    #[track_caller]
    pub fn create(&self, name: &str, options: &Value) -> Value {
        self.ok("POST", "/v1/volumes", Some(&json!({"name": name, "options": options})))
    }
}

#[track_caller]
fn mountpoint(reply: &Value) -> PathBuf {
    PathBuf::from(reply["Mountpoint"].as_str().expect("a mountpoint"))
}
