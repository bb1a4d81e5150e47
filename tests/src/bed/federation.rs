//! A whole federation on a bed: three one-node swarms with agents, control, two nameservers outside the regions, a
//! registry and a resolver. It is started the way an operator would: configuration files, join tokens, the command line.

use super::engine::Engine;
use super::host::Host;
use super::image::Registry;
use super::parent::{Parent, Referral};
use super::process::{self, Process};
use super::resolver::Resolver;
use super::{Bed, PATIENCE, Plot, wait_for};
use crate::dns_client::{self, Answer, Subnet};
use crate::steady_client::{SteadyClient, Target};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Regions with the last octet of their host and the client network that the map sends there.
pub const REGIONS: [(&str, u8, [u8; 3]); 3] =
    [("ap-1", 30, [203, 0, 113]), ("eu-1", 10, [198, 51, 100]), ("us-1", 20, [192, 0, 2])];
pub const ZONE: &str = "shop.example";
pub const ROUTE: &str = "www.shop.example";
const API_PORT: u16 = 7443;
const GRPC_PORT: u16 = 7444;
/// Where nameservers take beats and views.
pub const PEER_PORT: u16 = 7445;
/// Where every process tells of itself, and nameservers take overrides.
const STATUS_PORT: u16 = 9100;

pub struct Federation {
    pub control: Process,
    pub agents: Vec<Process>,
    pub nameservers: Vec<Process>,
    pub engines: Vec<Engine>,
    pub registry: Registry,
    pub parent: Parent,
    pub resolver: Resolver,
    pub hosts: Hosts,
    binary: PathBuf,
    environment: Environment,
}

/// Variables for control, agents, nameservers and the command line, on top of this process's own.
pub type Environment = Vec<(&'static str, String)>;

#[derive(Clone, Debug)]
pub struct Hosts {
    pub plot: Plot,
    pub control: Host,
    pub nameservers: Vec<Host>,
    /// Registry, resolver.
    pub hub: Host,
    /// The zone above ours.
    pub parent: Host,
    /// In the order of [`REGIONS`].
    pub regions: Vec<Host>,
}

impl Hosts {
    fn make(plot: Plot) -> Result<Hosts> {
        let regions = REGIONS.iter().map(|(name, number, _)| Host::make(plot, name, *number));
        Ok(Hosts {
            plot,
            control: Host::make(plot, "control", 2)?,
            nameservers: vec![Host::make(plot, "ns1", 3)?, Host::make(plot, "ns2", 4)?],
            hub: Host::make(plot, "hub", 5)?,
            parent: Host::make(plot, "parent", 6)?,
            regions: regions.collect::<Result<_>>()?,
        })
    }

    /// As it should be registered.
    pub fn referral(&self) -> Referral {
        let named = self.nameservers.iter().map(|host| (format!("{}.{ZONE}", host.name), Some(host.address)));
        Referral { ttl: 3600, nameservers: named.collect() }
    }

    pub fn region(&self, name: &str) -> Result<&Host> {
        self.regions.iter().find(|host| host.name == name).with_context(|| format!("no region {name}"))
    }

    /// Name of the region with this address.
    pub fn name_of(&self, address: std::net::IpAddr) -> Option<&str> {
        self.regions.iter().find(|host| std::net::IpAddr::V4(host.address) == address).map(|host| host.name.as_str())
    }
}

impl Federation {
    /// Swarms, registry and images `web:v1`, `web:v2`, `web:v3`; then control, agents, nameservers and resolver, joined.
    pub fn start(bed: &Bed, binary: &Path, environment: Environment) -> Result<Federation> {
        let hosts = Hosts::make(bed.plot)?;
        let registry = Registry::start(&hosts.hub)?;
        let registry_name = Registry::name(&hosts.hub);
        let mut engines = Vec::new();
        for host in &hosts.regions {
            engines.push(Engine::start(host, &registry_name)?);
        }
        for engine in &mut engines {
            engine.wait()?;
            engine.swarm_init()?;
        }
        for tag in ["v1", "v2", "v3"] {
            registry.publish_web(&engines[0], tag)?;
        }
        let control = start_control(&hosts, binary, &environment)?;
        let addresses: Vec<Ipv4Addr> = hosts.nameservers.iter().map(|host| host.address).collect();
        let parent = Parent::start(&hosts.parent, &hosts.referral())?;
        let zones = [(ZONE, addresses.as_slice()), (Parent::zone()?, &[parent.address])];
        let resolver = Resolver::start(&hosts.hub, &zones)?;
        let (agents, nameservers) = (Vec::new(), Vec::new());
        let binary = binary.to_owned();
        let mut federation = Federation {
            control,
            agents,
            nameservers,
            engines,
            registry,
            parent,
            resolver,
            hosts,
            binary,
            environment,
        };
        federation.join_everyone()?;
        Ok(federation)
    }

    fn join_everyone(&mut self) -> Result<()> {
        let token = self.control_dir().join("admin.token");
        wait_for("control's administrator token", PATIENCE, || {
            self.control.check_alive()?;
            fs::metadata(&token).map_err(Into::into)
        })?;
        let url = format!("https://{}:{API_PORT}", self.hosts.control.address);
        wait_for("control's API", PATIENCE, || {
            self.control.check_alive()?;
            self.waggle(&["login", &url, "--token-file", &token.display().to_string()])
        })?;
        self.apply(&self.document())?;
        for at in 0..self.hosts.nameservers.len() {
            let process = self.start_nameserver(at)?;
            self.nameservers.push(process);
        }
        for at in 0..self.hosts.regions.len() {
            let process = self.start_agent(at)?;
            self.agents.push(process);
        }
        self.wait_connected()
    }

    /// All agents and nameservers have a session with control.
    pub fn wait_connected(&self) -> Result<()> {
        wait_for("every agent and nameserver to connect", PATIENCE, || {
            let status = self.waggle_json(&["status"])?;
            for kind in ["clusters", "nameservers"] {
                let wanted = if kind == "clusters" { REGIONS.len() } else { self.hosts.nameservers.len() };
                let list = status[kind].as_array().context("a list")?;
                let connected = list.iter().filter(|item| item["connected"] == true).count();
                if connected < wanted {
                    bail!("{connected} of {wanted} {kind} are connected");
                }
            }
            Ok(())
        })
    }

    /// Starts (or starts again) the agent of region `at`; joins when it has no certificate yet.
    pub fn start_agent(&self, at: usize) -> Result<Process> {
        let host = &self.hosts.regions[at];
        let token = self.join_token(host, "cluster")?;
        let config = host.dir().join("agent.toml");
        let text = format!(
            "cluster = \"{}\"\ncontrol = [\"{}:{GRPC_PORT}\"]\ntoken_file = \"{token}\"\ndata_dir = \"{}\"\n\
             docker_socket = \"{}\"\nstatus_listen = \"{}:{STATUS_PORT}\"\n[allow]\nregistries = [\"{}\", \"127.0.0.1:1\"]\n",
            host.name,
            self.hosts.control.address,
            host.dir().join("agent").display(),
            self.engines[at].socket().display(),
            host.address,
            Registry::name(&self.hosts.hub),
        );
        fs::write(&config, text)?;
        self.start_role(host, "agent", &config)
    }

    pub fn start_nameserver(&self, at: usize) -> Result<Process> {
        let host = &self.hosts.nameservers[at];
        let token = self.join_token(host, "nameserver")?;
        let config = host.dir().join("nameserver.toml");
        let text = format!(
            "name = \"{name}\"\ncontrol = [\"{control}:{GRPC_PORT}\"]\ntoken_file = \"{token}\"\ndata_dir = \"{data}\"\n\
             listen = [\"{address}:53\"]\npeer_listen = \"{address}:{PEER_PORT}\"\nadvertise = \"{address}:{PEER_PORT}\"\n\
             workers = 1\nstatus_listen = \"{address}:{STATUS_PORT}\"\n",
            name = host.name,
            control = self.hosts.control.address,
            data = host.dir().join("nameserver").display(),
            address = host.address,
        );
        fs::write(&config, text)?;
        self.start_role(host, "nameserver", &config)
    }

    /// Starts control again on the data it had.
    pub fn restart_control(&mut self) -> Result<()> {
        self.control = start_control(&self.hosts, &self.binary, &self.environment)?;
        wait_for("control's API", PATIENCE, || self.waggle(&["status"]))?;
        Ok(())
    }

    fn start_role(&self, host: &Host, role: &str, config: &Path) -> Result<Process> {
        let mut command = host.command(&self.binary.display().to_string());
        command.args([role, "--config", &config.display().to_string()]).envs(self.environment.iter().cloned());
        Process::start(&host.dir(), role, command)
    }

    /// A file with a fresh join token, or the one that is there already.
    fn join_token(&self, host: &Host, kind: &str) -> Result<String> {
        let file = host.dir().join("join.token");
        if !file.exists() {
            fs::create_dir_all(host.dir())?;
            let made = self.waggle_json(&[kind, "join-token", &host.name])?;
            fs::write(&file, made["token"].as_str().context("a token")?)?;
        }
        Ok(file.display().to_string())
    }

    pub fn control_dir(&self) -> PathBuf {
        self.hosts.control.dir().join("data")
    }

    /// Writes a file into the bed's directory and gives its path.
    pub fn write_file(&self, name: &str, text: &str) -> Result<String> {
        let file = self.hosts.plot.dir().join(name);
        fs::write(&file, text)?;
        Ok(file.display().to_string())
    }

    /// The command line with its context in the bed's directory.
    pub fn cli(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.binary);
        command.args(arguments).env("HOME", self.hosts.plot.dir()).env_remove("XDG_CONFIG_HOME");
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Standard output of a command that must succeed.
    pub fn waggle(&self, arguments: &[&str]) -> Result<String> {
        let result = self.cli(arguments).output()?;
        if !result.status.success() {
            let (out, err) = (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
            bail!("waggle {}: {}\n{out}{err}", arguments.join(" "), result.status);
        }
        Ok(String::from_utf8_lossy(&result.stdout).into_owned())
    }

    pub fn waggle_json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.waggle(&[arguments, &["--format", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("waggle {} printed no JSON: {text}", arguments.join(" ")))
    }

    /// A user who honours TTLs, making about two hundred requests a second through the resolver.
    pub fn client(&self) -> SteadyClient {
        SteadyClient::start(Target {
            resolver: self.resolver.address,
            name: ROUTE.to_owned(),
            port: 80,
            path: "/version".to_owned(),
            pause: Duration::from_millis(5),
        })
    }

    pub fn nameserver(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.hosts.nameservers[at].address, 53))
    }

    /// Where nameserver `at` tells of itself and takes overrides.
    pub fn nameserver_status(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.hosts.nameservers[at].address, STATUS_PORT))
    }

    /// The federation file that was applied at the start.
    pub fn document(&self) -> String {
        federation_yaml(&self.hosts)
    }

    /// Makes this the federation file.
    pub fn apply(&self, document: &str) -> Result<()> {
        let file = self.write_file("federation.yaml", document)?;
        self.waggle(&["apply", "-f", &file]).map(drop)
    }

    /// What nameserver `at` answers a client of `region`'s network.
    pub fn ask_from(&self, at: usize, region: &str) -> Result<Answer> {
        let (_, _, [a, b, c]) = REGIONS.iter().find(|(name, _, _)| *name == region).context("a region")?;
        let subnet = Subnet { address: Ipv4Addr::new(*a, *b, *c, 0), prefix: 24 };
        dns_client::ask(self.nameserver(at), ROUTE, Some(subnet), Duration::from_millis(500))
    }

    /// Region that nameserver `at` sends clients of `region` to.
    pub fn region_for(&self, at: usize, region: &str) -> Result<String> {
        let answer = self.ask_from(at, region)?;
        let address = *answer.addresses.first().with_context(|| format!("no address: {}", answer.code))?;
        Ok(self.hosts.name_of(address).context("an address of a region")?.to_owned())
    }
}

fn start_control(hosts: &Hosts, binary: &Path, environment: &Environment) -> Result<Process> {
    let host = &hosts.control;
    fs::create_dir_all(host.dir())?;
    let config = host.dir().join("control.toml");
    let text = format!(
        "data_dir = \"{data}\"\napi_listen = \"{ip}:{API_PORT}\"\ngrpc_listen = \"{ip}:{GRPC_PORT}\"\n\
         advertise = \"{ip}:{GRPC_PORT}\"\nstatus_listen = \"{ip}:{STATUS_PORT}\"\n",
        data = host.dir().join("data").display(),
        ip = host.address,
    );
    fs::write(&config, text)?;
    let mut command = host.command(&binary.display().to_string());
    command.args(["control", "--config", &config.display().to_string()]).envs(environment.iter().cloned());
    let mut process = Process::start(&host.dir(), "control", command)?;
    process::wait_for_port(SocketAddr::from((host.address, API_PORT)), &mut process)?;
    Ok(process)
}

fn federation_yaml(hosts: &Hosts) -> String {
    let mut text = String::from("clusters:\n");
    for host in &hosts.regions {
        text += &format!("  {}: {{region: {}, addresses: [{}]}}\n", host.name, &host.name[..2], host.address);
    }
    text +=
        &format!("zones:\n  {ZONE}:\n    nameservers: [ns1.{ZONE}., ns2.{ZONE}.]\n    contact: hostmaster.{ZONE}.\n");
    text += "    records:\n";
    for host in &hosts.nameservers {
        text += &format!("      - {{name: {}, type: A, values: [{}]}}\n", host.name, host.address);
    }
    text += "client_map:\n";
    for (name, _, [a, b, c]) in REGIONS {
        let others = REGIONS.iter().map(|(other, _, _)| *other).filter(|other| *other != name);
        let order: Vec<&str> = [name].into_iter().chain(others).collect();
        text += &format!("  {a}.{b}.{c}.0/24: [{}]\n", order.join(", "));
    }
    // The resolver and everything else of the bed lives "in Europe".
    text += &format!("  {}/24: [eu-1, us-1, ap-1]\n", hosts.plot.address(0));
    text
}
