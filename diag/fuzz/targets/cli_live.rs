//! Any service: a server of this process answers each path with the file of that name in the input (its first line may say
//! `STATUS CONTENT-TYPE`), and 404 to the rest. What the command makes of it is fit for a terminal, or one clear line.
#![no_main]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use diag_fuzz::command::run;
use diag_fuzz::scratch::Scratch;
use diag_fuzz::sections::sections;
use libfuzzer_sys::fuzz_target;

static ANSWERS: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);
static OUT: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("live"));

static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
});

fuzz_target!(|bytes: &[u8]| {
    let Some((verb, input)) = bytes.split_first() else { return };
    let answers = sections(input).into_iter().map(|(name, content)| (name, content.to_vec())).collect();
    *ANSWERS.lock().unwrap_or_else(PoisonError::into_inner) = Some(answers);
    let target = ADDRESS.as_str();
    let dir = OUT.empty();
    let file = dir.join("out").display().to_string();
    let captures = dir.join("captures").display().to_string();
    match verb % 12 {
        0 => run(&["leaks", target]),
        1 => run(&["leaks", target, "--format", "json"]),
        2 => run(&["tasks", target]),
        3 => run(&["tasks", target, "--list"]),
        4 => run(&["triage", target, "--watch", "1s"]),
        5 => run(&["triage", target, "--watch", "1s", "--purge", "--format", "json"]),
        6 => run(&[
            "capture",
            target,
            "--count",
            "1",
            "--kind",
            "heap,memory,tasks",
            "-o",
            &captures,
            "--format",
            "json",
        ]),
        7 => run(&["top", target]),
        8 => run(&["doctor", target]),
        9 => run(&["trace", target, "--past", "-o", &file]),
        10 => run(&["diff", target, target]),
        _ => run(&["flamegraph", target, "-o", &file]),
    }
});

/// One request, one answer.
fn answer(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n @ 1..) => head.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = answers.as_ref().and_then(|all| all.get(path));
    let (status, kind, body) = match found {
        None => (404, "text/plain".to_owned(), &b"nothing is here\n"[..]),
        Some(content) => stated(content),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(body);
}

/// Status and content type of the first line, if it is that.
fn stated(content: &[u8]) -> (u16, String, &[u8]) {
    let whole = (200, "application/octet-stream".to_owned(), content);
    let Some(end) = content.iter().take(80).position(|&b| b == b'\n') else { return whole };
    let line = String::from_utf8_lossy(&content[..end]).into_owned();
    let Some((status, kind)) = line.split_once(' ') else { return whole };
    match status.parse::<u16>() {
        // Those that mean "wait" would be waited for.
        Ok(status @ 200..=599)
            if !matches!(status, 429 | 502..=504) && kind.chars().all(|c| c.is_ascii_graphic()) =>
        {
            (status, kind.to_owned(), &content[end + 1..])
        }
        _ => whole,
    }
}
