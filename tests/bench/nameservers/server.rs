//! A nameserver under load: a process on one processor, and the processor time it has used.

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{SysconfVar, sysconf};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use waggle_tests::bed::process::Process;

/// Time a server has to give its first right answer.
const START_MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_millis(200);

pub struct Server {
    pub address: SocketAddr,
    process: Process,
}

/// Processor time of a process, all of its threads.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    pub fn since(self, before: Cpu) -> Cpu {
        Cpu { user: self.user.saturating_sub(before.user), system: self.system.saturating_sub(before.system) }
    }
}

impl Server {
    /// Starts `command` on `processor` only; its log goes to `directory`.
    pub fn start(directory: &Path, name: &str, processor: usize, command: Command, port: u16) -> Result<Server> {
        let mut pinned = Command::new("taskset");
        pinned.arg("-c").arg(processor.to_string()).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                pinned.env(key, value);
            }
        }
        let process = Process::start(directory, name, pinned)?;
        Ok(Server { address: (Ipv4Addr::LOCALHOST, port).into(), process })
    }

    /// Asks until `right` says so of a reply.
    pub fn wait(&mut self, query: &[u8], right: impl Fn(&[u8]) -> bool) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let began = Instant::now();
        let mut reply = [0; 4096];
        let mut last = "no reply".to_owned();
        while began.elapsed() < START_MAX {
            self.process.check_alive()?;
            let asked = socket.send(query).and_then(|_| socket.recv(&mut reply));
            match asked {
                Ok(length) if right(&reply[..length]) => return Ok(()),
                Ok(length) => last = format!("{:02x?}", &reply[..length]),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} gives no right answer, last: {last}\n{}", self.process.name, self.process.log_tail(10))
    }

    /// Of the process and its children: NSD answers from one.
    pub fn cpu(&self) -> Result<Cpu> {
        let mut sum = Cpu::default();
        let mut family = vec![self.process.id()];
        while let Some(id) = family.pop() {
            let used = of_process(id)?;
            sum = Cpu { user: sum.user + used.user, system: sum.system + used.system };
            let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        Ok(sum)
    }

    pub fn stop(mut self) -> Result<()> {
        self.process.terminate().map(drop)
    }
}

fn of_process(id: u32) -> Result<Cpu> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // Behind the name, which may hold anything: state is field 3, utime 14, stime 15 (proc(5)).
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
    let field = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<f64>().ok());
    match (field(14), field(15)) {
        (Some(user), Some(system)) => {
            Ok(Cpu { user: Duration::from_secs_f64(user / ticks), system: Duration::from_secs_f64(system / ticks) })
        }
        _ => bail!("{path} has no times"),
    }
}

/// Fails with the way out when a program is missing.
pub fn need(program: &str) -> Result<()> {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).exists());
    ensure!(found, "{program} is missing; run tests/bench/dns, which installs it");
    Ok(())
}
