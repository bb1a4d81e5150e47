//! `waggle registry`

use crate::client::Client;
use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table, age};
use crate::terminal;
use http::Method;
use waggle_control::api::types::{LoginStored, LoginView, NewLogin};
use waggle_control::secret::Secret;
use waggle_model::Timestamp;
use waggle_stack::registry;

/// Keep logins for registries with control, for the clusters whose stacks need them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Logins are encrypted where control keeps them, and go to agents whose stacks have images of the registry, in memory only.
A changed login is handed to every service at once, without restarting anything. Where a registry's passwords run out
(after half a day, with some), run `waggle registry login` again before they do, from a timer for example.

Examples:
  waggle registry login -u ann registry.example:5000
  print-password | waggle registry login -u ann --password-stdin registry.example
  waggle registry ls
  waggle registry logout registry.example:5000")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Keep a login; the password is asked for, and never taken from the command line
    #[command(
        after_help = "Examples:\n  waggle registry login -u ann registry.example:5000\n  print-password | waggle registry login -u ann --password-stdin registry.example"
    )]
    Login {
        /// User name; asked for unless given
        #[arg(short, long, value_name = "USER")]
        username: Option<String>,
        /// Read the password from standard input
        #[arg(long, requires = "username")]
        password_stdin: bool,
        /// HOST or HOST:PORT, as in image names
        registry: String,
    },
    /// Forget a login
    #[command(after_help = "Example:\n  waggle registry logout registry.example:5000")]
    Logout { registry: String },
    /// List logins, without their passwords
    #[command(after_help = "Example:\n  waggle registry ls")]
    Ls,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    match args.action {
        Action::Login { username, password_stdin, registry } => {
            let registry = normal(&registry)?;
            let login = read_login(username, password_stdin)?;
            let kept = keep(&global.client()?, &registry, &login).await?;
            output::show(global.format, &kept, |_| match kept.changed {
                true => format!("Login of {} for {registry} is kept.\n", kept.login.username),
                false => format!("Login of {} for {registry} is the same as before.\n", kept.login.username),
            })?;
        }
        Action::Logout { registry } => {
            let registry = normal(&registry)?;
            global.client()?.tell(Method::DELETE, &path(&registry), None::<&()>).await?;
            terminal::note(&format!(
                "The login for {registry} is forgotten. Swarms go on using it for services that have it, until they are updated."
            ));
        }
        Action::Ls => {
            let logins: Vec<LoginView> = global.client()?.get("/v1/registries").await?;
            let now = Timestamp(waggle_daemon::time::now());
            output::show(global.format, &logins, |colour| table(&logins, now).render(colour))?;
        }
    }
    Ok(Exit::Done)
}

/// Hands a login to control.
pub async fn keep(client: &Client, registry: &str, login: &NewLogin) -> Result<LoginStored, Failure> {
    client.send(Method::PUT, &path(registry), login, crate::client::RESPONSE_TIMEOUT).await
}

fn path(registry: &str) -> String {
    format!("/v1/registries/{}", encode(registry))
}

fn normal(registry: &str) -> Result<String, Failure> {
    registry::normal(registry).map_err(|error| Failure::refused(error.to_string()))
}

fn read_login(username: Option<String>, password_stdin: bool) -> Result<NewLogin, Failure> {
    let nobody = || {
        Failure::refused("no user and password, and no terminal to ask for them at")
            .with_help("give them with -u USER --password-stdin")
    };
    let username = match username {
        Some(username) => username,
        None => terminal::ask_shown("Username: ")?.ok_or_else(nobody)?.trim().to_owned(),
    };
    let password = match password_stdin {
        true => terminal::read_stdin()?,
        false => terminal::ask_hidden("Password: ")?.ok_or_else(nobody)?,
    };
    let password = Secret::new(password.strip_suffix('\n').map_or(&*password, |rest| rest.trim_end_matches('\r')));
    if username.is_empty() || password.expose().is_empty() {
        return Err(Failure::refused("a login needs a user and a password"));
    }
    Ok(NewLogin { username, password, identity_token: Secret::default() })
}

fn table(logins: &[LoginView], now: Timestamp) -> Table {
    let mut table = Table::new(&["REGISTRY", "USER", "CHANGED", "BY"]);
    for one in logins {
        let user = if one.username.is_empty() { "(token)" } else { &one.username };
        table.row([
            one.registry.as_str().into(),
            user.into(),
            age::ago(now, one.updated_at).into(),
            one.by.as_str().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{Fake, json};
    use http::StatusCode;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn the_password_goes_in_the_body_and_nowhere_else() {
        let body = Arc::new(Mutex::new(String::new()));
        let seen = body.clone();
        let fake = Fake::start(move |_, body, _| {
            *seen.lock().unwrap() = body.to_owned();
            let login = r#"{"registry":"r.example:5000","username":"ann","version":7,"updated_at":1,"by":"admin"}"#;
            json(StatusCode::OK, format!(r#"{{"changed":true,"login":{login}}}"#))
        })
        .await;
        let password = Secret::new("hunter2");
        let login = NewLogin { username: "ann".into(), password, identity_token: Secret::default() };
        let kept = keep(&fake.client(), "r.example:5000", &login).await.unwrap();
        assert_eq!((kept.changed, kept.login.version), (true, 7));
        assert_eq!(fake.asked(), ["PUT /v1/registries/r.example%3A5000"]);
        assert!(body.lock().unwrap().contains("hunter2"));
        assert!(!format!("{login:?}{kept:?}").contains("hunter2"));
        let shown = table(&[kept.login], Timestamp(60_001)).render(false);
        assert!(shown.contains("r.example:5000") && shown.contains("ann") && shown.contains("admin"), "{shown}");
    }
}
