//! A child: started under its profiler, told what to do, ended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use diag_peers::child::{Answer, Job, Order, Window};
use diag_peers::cost::Usage;
use diag_peers::peer::Taken;
use diag_peers::workloads::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Plan;
use crate::variants::{Outside, Variant};

/// dhat fills a heap of a million objects in less.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Process {
    child: Child,
    lines: BufReader<TcpStream>,
    pid: Pid,
    listening: Option<SocketAddr>,
    pub(crate) dir: PathBuf,
}

impl Process {
    /// `processor` for it and all that it starts; `None` for all.
    pub(crate) fn start(
        plan: &Plan,
        variant: &Variant,
        kind: Kind,
        processor: Option<usize>,
    ) -> anyhow::Result<Self> {
        let program = variant.program(&plan.programs).map_err(anyhow::Error::msg)?;
        let dir = plan.scratch.join(variant.name.replace([' ', ',', ':', '+'], "-"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let job = Job {
            driver: listener.local_addr()?,
            workload: kind,
            with: variant.with.to_owned(),
            dir: dir.clone(),
            objects: plan.objects,
        };
        let mut words: Vec<String> = Vec::new();
        if let Some(processor) = processor {
            words.extend(["taskset", "-c"].map(str::to_owned));
            words.push(processor.to_string());
        }
        let file = |name: &str| dir.join(name).display().to_string();
        match variant.outside {
            Outside::Nobody => {}
            Outside::Perf => words.extend(
                [
                    "perf",
                    "record",
                    "-q",
                    "-F",
                    "99",
                    "--call-graph",
                    "dwarf",
                    "-o",
                    file("perf.data").as_str(),
                ]
                .map(str::to_owned),
            ),
            Outside::Heaptrack => {
                words.extend(["heaptrack", "-o", file("heaptrack").as_str()].map(str::to_owned))
            }
        }
        words.push(program.display().to_string());
        words.push(serde_json::to_string(&job)?);
        let (first, rest) = words.split_first().context("there is a program")?;
        let mut command = Command::new(first);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).env_remove("RUST_LOG");
        if variant.outside != Outside::Nobody {
            // They talk about what they do.
            command.stderr(Stdio::null());
        }
        if let Some(conf) = variant.malloc_conf() {
            command.env("_RJEM_MALLOC_CONF", conf);
        }
        let mut child = command.spawn().with_context(|| format!("{first} did not start"))?;
        let connection = match accept(&listener, &mut child) {
            Ok(connection) => connection,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let lines = BufReader::new(connection);
        let mut process = Self { child, lines, pid: Pid::from_raw(0), listening: None, dir };
        match process.answer()? {
            Answer::Ready { pid, listening } => {
                process.pid = Pid::from_raw(i32::try_from(pid)?);
                process.listening = listening;
            }
            other => bail!("{other:?} is no beginning"),
        }
        Ok(process)
    }

    pub(crate) fn run(&mut self, length: Duration) -> anyhow::Result<Window> {
        match self.ask(&Order::Run(length))? {
            Answer::Ran(window) => Ok(window),
            other => bail!("{other:?} is no window"),
        }
    }

    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        match self.ask(&Order::Tell)? {
            Answer::Told(usage) => Ok(usage),
            other => bail!("{other:?} is no usage"),
        }
    }

    pub(crate) fn take(&mut self) -> anyhow::Result<Taken> {
        match self.ask(&Order::Take)? {
            Answer::Took(taken) => Ok(taken),
            other => bail!("{other:?} is no profile"),
        }
    }

    pub(crate) fn listening(&self) -> anyhow::Result<SocketAddr> {
        self.listening.context("it does not listen")
    }

    /// Others are at work.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        Ok(kill(self.pid, Signal::SIGSTOP)?)
    }

    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        Ok(kill(self.pid, Signal::SIGCONT)?)
    }

    pub(crate) fn quit(mut self) -> anyhow::Result<()> {
        self.say(&Order::Quit)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    fn ask(&mut self, order: &Order) -> anyhow::Result<Answer> {
        self.say(order)?;
        self.answer()
    }

    fn say(&mut self, order: &Order) -> anyhow::Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        Ok(self.lines.get_mut().write_all(line.as_bytes())?)
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        anyhow::ensure!(self.lines.read_line(&mut line)? > 0, "the child has ended; what it said is above");
        match serde_json::from_str(&line)? {
            Answer::Failed(why) => bail!(why),
            answer => Ok(answer),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, or something failed. A wrapper's child ends when its connection does.
        if self.pid.as_raw() > 0 {
            let _ = kill(self.pid, Signal::SIGCONT);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the child's connection, or its end.
fn accept(listener: &TcpListener, child: &mut Child) -> anyhow::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(false)?;
                return Ok(connection);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended at once: {status}");
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "it did not come up");
        std::thread::sleep(Duration::from_millis(2));
    }
}
