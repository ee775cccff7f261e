//! The UI in a real browser, behind a path prefix: a small proxy takes the prefix away, replaces `Host`, and adds a page of its own that has
//! the UI in a frame, acts in it as a user does, and leaves what it saw in an attribute of the root element, which `--dump-dom` prints.
//!
//! Needs Chromium; without it a test says that it is skipped, and fails if DIAG_REQUIRE_CLIENTS=1. Time in the browser is virtual: it
//! stands still while a request is under way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

pub(crate) const PREFIX: &str = "/some/where";

/// Around the script of a test.
const TOOLS: &str = include_str!("tools.js");

/// Makes an answer in place of the service, by the path behind the prefix.
pub(crate) type Fake = dyn Fn(&str) -> Option<String> + Send + Sync;

struct Front {
    service: SocketAddr,
    page: String,
    fake: Box<Fake>,
    /// Paths that were asked for outside of the prefix.
    outside: Mutex<Vec<String>>,
}

/// Runs `script` beside the UI and gives what it put into `seen`. `None`: skipped.
pub(crate) fn drive(service: SocketAddr, script: &str, budget_s: u32, fake: Box<Fake>) -> Option<Value> {
    let Some(chromium) = chromium() else {
        let required = std::env::var_os("DIAG_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
        assert!(!required, "no Chromium in PATH, but DIAG_REQUIRE_CLIENTS=1");
        // Past the capture of printed text, which hides the output of tests that pass.
        std::io::stderr().write_all(b"skipped: no Chromium in PATH\n").unwrap();
        return None;
    };
    let page = format!(
        "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><iframe width=1200 height=900></iframe>\
         <script>{TOOLS}\nrun(async () => {{ {script} }});</script>"
    );
    let front = Arc::new(Front { service, page, fake, outside: Mutex::new(Vec::new()) });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let of_thread = Arc::clone(&front);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let front = Arc::clone(&of_thread);
            // A browser that goes away in the middle is no failure.
            std::thread::spawn(move || front.answer(stream).ok());
        }
    });
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-dev-shm-usage", "--disable-quic", "--disable-component-update", "--disable-sync"])
        .args(["--window-size=1280,1000", "--enable-precise-memory-info", "--js-flags=--expose-gc"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--virtual-time-budget={}", u64::from(budget_s) * 1000))
        .arg(format!("--user-data-dir={}", scratch.path().display()))
        .arg(format!("http://{addr}{PREFIX}/debug/diag/drive.html"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let dom = String::from_utf8(output.stdout).unwrap();
    let encoded = dom.split("data-seen=\"").nth(1).and_then(|s| s.split('"').next());
    let encoded =
        encoded.unwrap_or_else(|| panic!("the script did not end: {said} {}", &dom[..dom.len().min(500)]));
    let seen: Value = serde_json::from_str(&percent_decoded(encoded)).unwrap();
    assert_eq!(seen["errors"], Value::Array(vec![]), "{said}");
    // What the policy refuses, and errors that nobody caught, are said there.
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    assert_eq!(*front.outside.lock().unwrap(), Vec::<String>::new(), "asked outside of the prefix");
    Some(seen)
}

impl Front {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let Some(path) = target.strip_prefix(PREFIX) else {
            self.outside.lock().unwrap().push(target.to_owned());
            return send(&stream, "404 Not Found", "text/plain", "outside of the prefix");
        };
        if path == "/debug/diag/drive.html" {
            return send(&stream, "200 OK", "text/html", &self.page);
        }
        if let Some(json) = (self.fake)(path) {
            return send(&stream, "200 OK", "application/json", &json);
        }
        let mut service = TcpStream::connect(self.service)?;
        let headers: String = head
            .lines()
            .skip(1)
            .filter(|line| {
                let line = line.to_ascii_lowercase();
                !line.starts_with("connection:") && !line.starts_with("host:") && !line.is_empty()
            })
            .map(|line| format!("{line}\r\n"))
            .collect();
        // As nginx does unless it is told otherwise: the name that it calls, not the one that the browser did.
        let host = self.service;
        write!(service, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        service.read_to_end(&mut answer)?;
        (&stream).write_all(&answer)
    }
}

fn send(mut stream: &TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|candidate| candidate.is_file())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).unwrap()
}
