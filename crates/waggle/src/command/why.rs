//! `waggle why`

use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use std::net::IpAddr;
use waggle_control::api::types::WhyView;
use waggle_model::DomainName;

/// Explain which answer a client gets for a name, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle why www.shop.example --client 198.51.100.7
  waggle why www.shop.example --client 2001:db8::7 --type AAAA --format json
  waggle why www.shop.example --client 198.51.100.7 --type HTTPS")]
pub struct Args {
    /// Name that is asked for
    name: DomainName,
    /// Address of the client, or of the resolver that asks for it
    #[arg(long, value_name = "IP")]
    client: IpAddr,
    /// Record type that is asked for: A, AAAA, or HTTPS
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    kind: String,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let (name, client) = (encode(args.name.as_str()), encode(&args.client.to_string()));
    let kind = encode(&args.kind.to_ascii_uppercase());
    let why: WhyView =
        global.client()?.get(&format!("/v1/why?name={name}&client={client}&type={kind}&ecs=true")).await?;
    output::show(global.format, &why, |_| {
        let whose = why.nameserver.as_ref().map(|name| format!(", verdicts of {name}")).unwrap_or_default();
        format!("{}\nroute plan {}{whose}\n", why.text.trim_end(), why.plan_generation)
    })?;
    Ok(Exit::Done)
}
