//! One bed = one bridge, one network namespace per host, and the processes in them.
//!
//! Everything a bed makes carries its name (link `wg<bed>`, namespaces `wg<bed>-<host>`, files below `/run/waggle-bed/<bed>`),
//! so that the next run can sweep what a killed one left behind. Containers were rejected as hosts: a dockerd inside a
//! container needs nested cgroups and images that cannot be pulled here; a namespace needs neither.

pub mod engine;
pub mod federation;
pub mod host;
pub mod image;
pub mod interrupt;
pub mod parent;
pub mod process;
pub mod resolver;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a bed waits for any condition unless it says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Name and network of a bed. Two beds of different names can be up at once.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    pub name: &'static str,
    /// First three octets; the bridge is `.1`.
    pub network: [u8; 3],
}

/// The demo's plot, the tests' plot, and that of the tests about what processes tell of themselves.
pub const DEMO: Plot = Plot { name: "demo", network: [10, 77, 0] };
pub const TEST: Plot = Plot { name: "test", network: [10, 78, 0] };
pub const TRACE: Plot = Plot { name: "trace", network: [10, 79, 0] };

impl Plot {
    pub fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, host)
    }

    /// This machine's link into the bed.
    pub fn uplink(&self) -> String {
        format!("wg{}", self.name)
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("wg{}-{host}", self.name)
    }

    pub fn dir(&self) -> PathBuf {
        Path::new("/run/waggle-bed").join(self.name)
    }
}

/// A bed that is up. Dropping it takes everything down, unless [`Bed::keep`] was called.
pub struct Bed {
    pub plot: Plot,
    kept: bool,
    _lock: Flock<fs::File>,
}

impl Bed {
    /// Sweeps what an earlier run left, then makes the bridge. Fails when another run of this bed is alive.
    pub fn make(plot: Plot) -> Result<Bed> {
        if !nix::unistd::geteuid().is_root() {
            bail!("the bed needs root: it makes network namespaces and starts Docker Engines");
        }
        for program in ["dockerd", "docker", "ip", "nsenter", "docker-registry", "unbound", "busybox"] {
            if process::find(program).is_none() {
                bail!("{program} is missing; run tests/setup, which installs it");
            }
        }
        fs::create_dir_all("/run/waggle-bed")?;
        let lock = fs::File::create(format!("/run/waggle-bed/{}.lock", plot.name))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| error)
            .with_context(|| format!("another run uses the bed {:?}", plot.name))?;
        sweep(plot)?;
        fs::create_dir_all(plot.dir())?;
        make_switch(plot)?;
        Ok(Bed { plot, kept: false, _lock: lock })
    }

    /// Leaves everything running when the bed is dropped; the next run sweeps it.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

/// A namespace with a bridge, and a link from this machine into it. The bridge is not in this machine's own namespace:
/// a system Docker Engine there drops what it has not published (FORWARD policy, also for bridged frames).
fn make_switch(plot: Plot) -> Result<()> {
    let (switch, link) = (plot.namespace(SWITCH), plot.uplink());
    process::run("ip", &["netns", "add", &switch])?;
    let inside = |arguments: &[&str]| process::run("ip", &[&["-n", switch.as_str()], arguments].concat());
    inside(&["link", "add", BRIDGE, "type", "bridge"])?;
    inside(&["link", "set", BRIDGE, "up"])?;
    process::run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", &switch])?;
    inside(&["link", "set", "uplink", "master", BRIDGE, "up"])?;
    process::run("ip", &["address", "add", &format!("{}/24", plot.address(1)), "dev", &link])?;
    process::run("ip", &["link", "set", &link, "up"])
}

/// Host name of the namespace that holds the bridge, and the bridge's name in it.
pub const SWITCH: &str = "switch";
pub const BRIDGE: &str = "br0";

impl Drop for Bed {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = sweep(self.plot) {
            eprintln!("bed: not everything could be removed: {error:#}");
        }
    }
}

/// Takes down all that carries the bed's name: processes it recorded, namespaces, links, mounts, files.
pub fn sweep(plot: Plot) -> Result<()> {
    process::stop_recorded(&plot.dir());
    let namespaces = process::output("ip", &["netns", "list"]).unwrap_or_default();
    let prefix = plot.namespace("");
    for line in namespaces.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if name.starts_with(&prefix) {
            process::run("ip", &["netns", "delete", name])?;
        }
    }
    // The kernel removes it with the namespace of its other end, in its own time: it may be gone before or meanwhile.
    let uplink = Path::new("/sys/class/net").join(plot.uplink());
    if uplink.exists()
        && let Err(error) = process::run("ip", &["link", "delete", &plot.uplink()])
        && uplink.exists()
    {
        return Err(error);
    }
    unmount_below(&plot.dir())?;
    if plot.dir().exists() {
        fs::remove_dir_all(plot.dir()).with_context(|| format!("cannot remove {}", plot.dir().display()))?;
    }
    Ok(())
}

/// What of this bed is still on the machine, in words; empty after a clean end.
pub fn leftovers(plot: Plot) -> Vec<String> {
    let mut found = Vec::new();
    let prefix = plot.namespace("");
    let namespaces = process::output("ip", &["netns", "list"]).unwrap_or_default();
    found.extend(namespaces.lines().filter(|l| l.starts_with(&prefix)).map(|l| format!("namespace {l}")));
    if Path::new("/sys/class/net").join(plot.uplink()).exists() {
        found.push(format!("link {}", plot.uplink()));
    }
    let dir = plot.dir().display().to_string();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    found.extend(mounts.lines().filter(|l| l.contains(&dir)).map(|l| format!("mount {l}")));
    found.extend(process::naming(&dir).into_iter().map(|pid| format!("process {pid}")));
    if plot.dir().exists() {
        found.push(format!("directory {dir}"));
    }
    found
}

fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mut points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    points.retain(|point| Path::new(point).starts_with(dir));
    // Inner mounts first.
    for point in points.into_iter().rev() {
        process::run("umount", &["-l", point])?;
    }
    Ok(())
}

/// Waits until `check` gives something, or fails with what it was waiting for and the last reason.
pub fn wait_for<T>(what: &str, patience: Duration, mut check: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        match check() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > patience => {
                return Err(error.context(format!("waited {patience:?} for {what}")));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

const POLL: Duration = Duration::from_millis(20);
