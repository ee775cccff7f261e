//! The service of the demo, as a child process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::DemoArgs;
use crate::error::{Error, Result, one_line};
use crate::interrupt::Interrupt;

/// The child says where it listens within this time.
const START: Duration = Duration::from_secs(20);

/// A running service; killed when dropped.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    /// Where it listens.
    pub(super) url: String,
    /// Tells when its bounded caches and queues are full.
    warm: mpsc::Receiver<()>,
}

impl Service {
    /// Starts this binary again as the service, and waits until it answers.
    pub(super) fn start(args: &DemoArgs, interrupt: &Interrupt) -> Result<Self> {
        let failed = |what: String| Error::failed(what, "run `diag-cli demo --serve` to see what it says");
        let program =
            std::env::current_exe().map_err(|e| failed(format!("cannot find this program: {e}")))?;
        let mut command = Command::new(program);
        command.args(args.child_arguments());
        // Nothing of this shell's settings: the demo shows the same everywhere.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("DIAG_") || text.ends_with("MALLOC_CONF") {
                command.env_remove(&name);
            }
        }
        // Ctrl-C is this process's to handle; it ends the child itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| failed(format!("cannot start the service: {e}")))?;
        let (warmed, warm) = mpsc::channel();
        let mut service = Self { child, url: String::new(), warm };
        let Some(stdout) = service.child.stdout.take() else {
            return Err(failed("the service has no output".into()));
        };
        let (found, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                if let Some(url) = line.trim().strip_prefix("listening on ") {
                    let _ = found.send(url.to_owned());
                } else if line.trim() == "warmed up" {
                    let _ = warmed.send(());
                }
                line.clear();
            }
        });
        let end = std::time::Instant::now() + START;
        loop {
            match wait.recv_timeout(Duration::from_millis(50)) {
                Ok(url) => {
                    service.url = url;
                    service.drain_errors();
                    return Ok(service);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(failed(format!("the service ended at once: {}", service.last_words())));
                }
                Err(mpsc::RecvTimeoutError::Timeout) if interrupt.is_asked() => {
                    return Err(Error::Interrupted);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if std::time::Instant::now() > end => {
                    return Err(failed(format!("the service did not start within {} s", START.as_secs())));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether its caches are full by now.
    pub(super) fn is_warm(&self) -> bool {
        self.warm.try_recv().is_ok()
    }

    /// The child's process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A full pipe would block the child.
    fn drain_errors(&mut self) {
        if let Some(mut stderr) = self.child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
    }

    fn last_words(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(2000).read_to_string(&mut text);
        }
        let text = one_line(&text);
        if text.is_empty() { "it said nothing".into() } else { text }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side.
///
/// # Errors
/// The service cannot run.
pub(super) fn serve(args: &DemoArgs) -> Result<ExitCode> {
    let mut options = examples::demo::Options::default();
    options.run_for = Duration::from_secs(args.seconds);
    options.fixed = args.fixed;
    options.until_stdin_closes = true;
    examples::demo::run_service(&options)
        .map_err(|e| Error::failed(format!("the demo service failed: {e:#}"), "try again"))?;
    Ok(ExitCode::SUCCESS)
}
