//! Processes of a bed: started with a log file, recorded on disk with their start time, stopped by id and never by name.

use super::{PATIENCE, wait_for};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time a process has to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(15);

/// One child process, stopped when dropped.
pub struct Process {
    pub name: String,
    pub log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with its output in `<dir>/<name>.log` and records it in `<dir>/pids`.
    pub fn start(dir: &Path, name: &str, mut command: Command) -> Result<Process> {
        fs::create_dir_all(dir)?;
        let log = dir.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        // Its own group: a Ctrl-C at the terminal is for the run, which then stops its processes in order.
        command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        record(dir, child.id())?;
        Ok(Process { name: name.to_owned(), log, child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; the exit status, or an error when the process needed more than the grace.
    pub fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > GRACE {
                self.kill()?;
                bail!("{} did not end within {GRACE:?} of SIGTERM and was killed", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails with the end of the log when the process is no more.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_tail(15)),
        }
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.terminate() {
            eprintln!("bed: {error:#}");
        }
    }
}

/// Lets the process go on when the value is dropped.
pub fn detach(process: Process) {
    std::mem::forget(process);
}

fn pids_file(dir: &Path) -> PathBuf {
    dir.join("pids")
}

fn record(dir: &Path, pid: u32) -> Result<()> {
    let started = start_time(pid).unwrap_or_default();
    let mut file = OpenOptions::new().create(true).append(true).open(pids_file(dir))?;
    writeln!(file, "{pid} {started}")?;
    Ok(())
}

/// Field 22 of `/proc/PID/stat`: tells a process from a later one with the same id.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Stops every process recorded below `dir`: SIGTERM, then SIGKILL after the grace. Then whatever still names `dir` on
/// its command line (containers' shims of a killed Engine).
pub fn stop_recorded(dir: &Path) {
    let mut targets: Vec<u32> = Vec::new();
    for file in pid_files(dir) {
        for line in fs::read_to_string(file).unwrap_or_default().lines() {
            let mut words = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
            if let (Some(pid), Some(started)) = (words.next(), words.next())
                && start_time(pid as u32) == Some(started)
            {
                targets.push(pid as u32);
            }
        }
    }
    end(&targets, Signal::SIGTERM, GRACE);
    end(&targets, Signal::SIGKILL, Duration::from_secs(2));
    end(&naming(&dir.display().to_string()), Signal::SIGKILL, Duration::from_secs(2));
}

fn pid_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![pids_file(dir)];
    if let Ok(entries) = fs::read_dir(dir) {
        found.extend(entries.flatten().map(|e| pids_file(&e.path())));
    }
    found
}

fn end(targets: &[u32], signal: Signal, patience: Duration) {
    let alive = |pid: &u32| start_time(*pid).is_some() && !is_zombie(*pid);
    for pid in targets.iter().filter(|pid| alive(pid)) {
        let _ = kill(Pid::from_raw(*pid as i32), signal);
    }
    let start = Instant::now();
    while targets.iter().any(alive) && start.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Ids of processes whose command line names `text`; never this one.
pub fn naming(text: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id() && !is_zombie(*pid))
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(text)
        })
        .collect()
}

/// Path of a program, also in the administrator's directories.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/local/sbin"]);
    places.map(|dir| Path::new(dir).join(program)).find(|file| file.is_file())
}

/// A command by name, found also in the administrator's directories.
pub fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| PathBuf::from(program)))
}

pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    output(program, arguments).map(|_| ())
}

/// Standard output of a command that must succeed.
pub fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let result = command(program).args(arguments).stdin(Stdio::null()).output();
    let result = result.with_context(|| format!("cannot run {program}"))?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr);
        bail!("{program} {}: {}: {}", arguments.join(" "), result.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Runs a command with `input` as its standard input.
pub fn feed(program: &str, arguments: &[&str], input: &Path) -> Result<String> {
    let result = command(program).args(arguments).stdin(File::open(input)?).output()?;
    if !result.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&result.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Waits until a TCP port accepts.
pub fn wait_for_port(address: std::net::SocketAddr, process: &mut Process) -> Result<()> {
    let name = process.name.clone();
    wait_for(&format!("{name} to listen on {address}"), PATIENCE, || {
        process.check_alive()?;
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        Ok(())
    })
}
