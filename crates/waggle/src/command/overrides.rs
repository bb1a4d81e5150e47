//! `waggle override`: what nameservers obey when control is gone.
//!
//! Nothing here asks control. Keys and documents are files, and a document is sent to a nameserver over plain HTTP: it is
//! no secret, and its signature says whose it is.

use crate::command::Global;
use crate::duration;
use crate::exit::{Exit, Failure, chain};
use crate::output;
use crate::terminal;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use waggle_model::health::overrides::{Effect, OVERRIDE_MAX, Order, REASON_MAX, Signed, Target};
use waggle_model::{ClusterName, DomainName, Timestamp};
use waggle_wire::override_key::OverrideKey;

/// Bytes of a key, a document or an answer.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Longest time for a nameserver to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Override what nameservers do about a cluster, also when control is gone
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Make a key once, beforehand, and list its public half in the federation file under override_keys. On the day, sign an
override and send it to any one nameserver: it checks the signature, keeps the override on disk, goes by it, and passes it
on to the others. An override ends by itself, after 24 hours at the latest.

Examples:
  waggle override key --out break-glass.pem
  waggle override sign --key break-glass.pem --route all --cluster eu-1 drained --for 2h --reason fire > o.json
  waggle override send o.json --to ns1.example:9153
  waggle override revoke --key break-glass.pem --route all --cluster eu-1 > r.json")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key pair; the private half goes to a file, the public half is printed
    #[command(after_help = "Example:\n  waggle override key --out break-glass.pem")]
    Key {
        /// File for the private key; it must not exist yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign an override and print it
    #[command(after_help = "\
fit and unfit count instead of what nameservers observe; drained takes the cluster out as `waggle cluster drain` does. What
the route plan drains stays drained. If nothing is left for a route, its all_down rule decides as always.

Example:
  waggle override sign --key break-glass.pem --route www.shop.example --cluster eu-1 unfit --for 1h --reason fire > o.json")]
    Sign {
        #[command(flatten)]
        what: What,
        effect: Word,
        /// It ends by itself after that; up to 24h
        #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
        duration: Duration,
        /// Why, for those who wonder later
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Sign a document that ends an earlier override, and print it; it is sent like one
    #[command(
        after_help = "Example:\n  waggle override revoke --key break-glass.pem --route all --cluster eu-1 > r.json"
    )]
    Revoke {
        #[command(flatten)]
        what: What,
        /// Why, for those who wonder later
        #[arg(long, value_name = "TEXT", default_value = "over")]
        reason: String,
    },
    /// Send a signed override to a nameserver; no token is needed
    #[command(after_help = "\
The address is the nameserver's status_listen. It passes the override on to the nameservers that it can reach; send it to
another one as well where it may be cut off.

Example:
  waggle override send o.json --to ns1.example:9153")]
    Send {
        /// Signed override; - reads standard input
        file: PathBuf,
        /// HOST:PORT of the nameserver's status_listen
        #[arg(long, value_name = "HOST:PORT")]
        to: String,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    /// File with the private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Route that is meant, or all
    #[arg(long, value_name = "NAME|all")]
    route: String,
    /// Cluster that is meant
    #[arg(long, value_name = "NAME")]
    cluster: ClusterName,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Word {
    Fit,
    Unfit,
    Drained,
}

pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let now = Timestamp(waggle_daemon::time::now());
    match args.action {
        Action::Key { out } => make_key(&out, global)?,
        Action::Sign { what, effect, duration, reason } => {
            if duration.is_zero() || duration > OVERRIDE_MAX {
                let hours = OVERRIDE_MAX.as_secs() / 3600;
                return Err(Failure::refused(format!("an override holds for up to {hours}h"))
                    .with_help("sign another one when it has run out"));
            }
            let effect = match effect {
                Word::Fit => Effect::Fit,
                Word::Unfit => Effect::Unfit,
                Word::Drained => Effect::Drained,
            };
            print(&what.sign(effect, reason, now, now.after(duration))?)?;
        }
        Action::Revoke { what, reason } => print(&what.sign(Effect::None, reason, now, now.after(OVERRIDE_MAX))?)?,
        Action::Send { file, to } => return send(&read(&file)?, &to, global),
    }
    Ok(Exit::Done)
}

fn make_key(out: &Path, global: &Global) -> Result<(), Failure> {
    let key = OverrideKey::generate().map_err(|error| Failure::new(Exit::Failed, chain(&error)))?;
    let failed = |error: std::io::Error| {
        Failure::refused(format!("cannot write {}: {error}", out.display()))
            .with_help("name a file that does not exist yet")
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    file.write_all(key.pem().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let public = key.public().to_string();
    output::show(global.format, &json!({ "public": public }), |_| format!("{public}\n"))?;
    terminal::note(&format!(
        "The private key is in {}; keep it where you can get at it when control is gone. List the public key under \
         override_keys in the federation file and apply that.",
        out.display()
    ));
    Ok(())
}

impl What {
    fn sign(&self, effect: Effect, reason: String, issued: Timestamp, expires: Timestamp) -> Result<Signed, Failure> {
        if reason.trim().is_empty() || reason.len() > REASON_MAX {
            return Err(Failure::refused(format!(
                "a reason of 1 to {REASON_MAX} bytes is needed: others will read it"
            )));
        }
        let route = match self.route.as_str() {
            "all" => None,
            name => Some(name.parse::<DomainName>().map_err(|error| Failure::refused(format!("--route: {error}")))?),
        };
        let target = Target { route, cluster: self.cluster.clone() };
        let key = OverrideKey::read(&read(&self.key)?)
            .map_err(|error| Failure::refused(format!("{}: {}", self.key.display(), chain(&error))))?;
        let order = Order { target, effect, reason, issued, expires };
        key.sign(order).map_err(|error| Failure::new(Exit::Failed, chain(&error)))
    }
}

/// The document for whoever sends it, and what it says for whoever looks.
fn print(signed: &Signed) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(signed).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    terminal::print(&format!("{json}\n"))?;
    terminal::note(&format!("{signed}; send it with `waggle override send FILE --to NAMESERVER:PORT`."));
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        return terminal::read_stdin();
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text));
    file.map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    Ok(text)
}

fn send(text: &str, to: &str, global: &Global) -> Result<Exit, Failure> {
    let signed: Signed = serde_json::from_str(text).map_err(|error| {
        Failure::refused(format!("this is no signed override: {error}")).with_help("`waggle override sign` prints one")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exchange = async { tokio::time::timeout(TIMEOUT, post(&signed, to)).await };
    let (status, body) = runtime.block_on(exchange).map_err(|_| {
        Failure::new(Exit::Unreachable, format!("{to} did not answer within {} s", TIMEOUT.as_secs()))
            .with_help("try again, or another nameserver")
    })??;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != StatusCode::OK {
        let message = answer["error"]["message"].as_str().map_or_else(|| format!("it said {status}"), str::to_owned);
        let failure = Failure::new(exit(status), format!("{to} does not take it: {message}"));
        let missing = "is that the status_listen of a nameserver?";
        return Err(if status == StatusCode::NOT_FOUND { failure.with_help(missing) } else { failure });
    }
    let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().filter_map(Value::as_str).for_each(terminal::warn);
    output::show(global.format, &answer, |_| told(&answer))?;
    Ok(Exit::Done)
}

fn told(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    let head = if answer["changed"] == json!(true) { "goes by it" } else { "knows it already" };
    let mut said = format!("{} {head}: {}\n", text("nameserver"), output::table::clean(text("says")));
    let routes: Vec<_> = answer["routes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let count = answer["route_count"].as_u64().unwrap_or_default();
    let more = count.saturating_sub(routes.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    said += &format!("It concerns {count} routes: {}{more}\n", output::table::clean(&routes.join(", ")));
    said
}

fn exit(status: StatusCode) -> Exit {
    match status {
        StatusCode::FORBIDDEN => Exit::Denied,
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

async fn post(signed: &Signed, to: &str) -> Result<(StatusCode, Bytes), Failure> {
    let unreachable = |why: String| {
        Failure::new(Exit::Unreachable, format!("cannot reach {to}: {why}"))
            .with_help("give HOST:PORT of the nameserver's status_listen, or try another nameserver")
    };
    let stream = TcpStream::connect(to).await.map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(chain(&error)))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    let body = serde_json::to_vec(signed).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let request = Request::builder().method(Method::POST).uri("/v1/override");
    let request = request.header(header::HOST, to).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| Failure::refused(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| unreachable(chain(&error)))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), FILE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
    Ok((status, body))
}
