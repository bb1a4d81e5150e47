//! `waggle stack`

mod adopt;
mod config;
mod convert;
pub mod deploy;
pub mod files;
mod look;
mod plan;
mod rollback;
mod table;

use crate::client::url::encode;
use crate::command::Global;
use crate::command::ask::{Clusters, logs};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use http::Method;
pub use table::table;
use waggle_control::api::types::StackView;
use waggle_model::StackName;

/// Deploy, list and remove stacks, in all clusters at once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle stack deploy -c compose.yml -c prod.yml shop
  waggle stack config -c compose.yml -c prod.yml
  waggle stack convert -c compose.yml -c prod.yml shop
  waggle stack plan -c compose.yml shop
  waggle stack rollback shop
  waggle stack ls
  waggle stack ps shop
  waggle stack logs -f shop
  waggle stack rm shop")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Deploy(deploy::Args),
    Config(config::Args),
    Plan(plan::Args),
    Rollback(rollback::Args),
    Adopt(adopt::Args),
    Convert(convert::Args),
    /// List stacks
    #[command(after_help = "Example:\n  waggle stack ls")]
    Ls,
    /// List the tasks of a stack, cluster by cluster
    #[command(after_help = "Example:\n  waggle stack ps shop --cluster eu-1")]
    Ps(look::Look),
    /// List the services of a stack, cluster by cluster
    #[command(after_help = "Example:\n  waggle stack services shop")]
    Services(look::Look),
    /// Show the logs of all services of a stack
    #[command(after_help = "Examples:\n  waggle stack logs --tail 20 shop\n  waggle stack logs -f --cluster eu-1 shop")]
    Logs {
        stack: StackName,
        #[command(flatten)]
        clusters: Clusters,
        #[command(flatten)]
        options: logs::Options,
    },
    /// Remove a stack from all clusters, its routes from DNS, and its releases
    #[command(after_help = "Example:\n  waggle stack rm shop")]
    Rm {
        #[arg(required = true, value_name = "STACK")]
        stacks: Vec<StackName>,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let path = |stack: &StackName, rest: &str| format!("/v1/stacks/{}{rest}", encode(stack.as_str()));
    match args.action {
        Action::Deploy(args) => return deploy::run(args, global).await,
        Action::Config(args) => return config::run(&args),
        Action::Plan(args) => return plan::run(args, global).await,
        Action::Rollback(args) => return rollback::run(args, global).await,
        Action::Adopt(args) => return adopt::run(args, global).await,
        Action::Convert(args) => return convert::run(&args),
        Action::Ls => {
            let stacks: Vec<StackView> = global.client()?.get("/v1/stacks").await?;
            output::show(global.format, &stacks, |colour| table(&stacks).render(colour))?;
        }
        Action::Ps(look) => return look::tasks(look, global).await,
        Action::Services(look) => return look::services(look, global).await,
        Action::Logs { stack, clusters, options } => {
            return logs::run(("stack", stack.as_str()), &clusters, &options, global).await;
        }
        Action::Rm { stacks } => {
            let client = global.client()?;
            for stack in stacks {
                client.tell(Method::DELETE, &path(&stack, ""), None::<&()>).await?;
                terminal::note(&format!(
                    "{stack} is being removed from all clusters; `waggle stack ls` lists it until it is gone."
                ));
            }
        }
    }
    Ok(Exit::Done)
}
