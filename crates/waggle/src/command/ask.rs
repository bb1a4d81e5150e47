//! What commands that ask the clusters share: which clusters are meant, and what is said of those that do not answer.

pub mod logs;
pub mod table;

use crate::client::url::encode;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format};
use crate::terminal;
use serde::Serialize;
use waggle_control::api::types::{Asked, ErrorDetail, Reply};
use waggle_model::ClusterName;
use waggle_model::ask::{Answer, Rows};

/// Which clusters a command is about.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Clusters {
    /// Only these clusters: a name, or region=NAME or another label; may be repeated
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
}

impl Clusters {
    /// `path` with the clusters and whatever else is set as its query.
    pub fn on(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let clusters = self.clusters.iter().map(|cluster| ("cluster", Some(cluster.as_str())));
        let set = clusters.chain(more.iter().copied()).filter_map(|(key, value)| Some((key, value?)));
        let query: Vec<String> = set.map(|(key, value)| format!("{key}={}", encode(value))).collect();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }
}

/// What each cluster answered; what went wrong is told by [`Answers::end`].
pub struct Answers {
    pub answers: Vec<(ClusterName, Answer)>,
    failed: Vec<(ClusterName, ErrorDetail)>,
}

impl Answers {
    pub fn of(asked: &Asked) -> Answers {
        let mut this = Answers { answers: Vec::new(), failed: Vec::new() };
        for (cluster, reply) in &asked.clusters {
            match reply {
                Reply::Answer(answer) => this.answers.push((cluster.clone(), answer.clone())),
                Reply::Error(error) => this.failed.push((cluster.clone(), error.clone())),
            }
        }
        this
    }

    /// Rows of all clusters, each with its cluster; clusters that left some out are noted.
    pub fn rows<T>(&self, pick: impl Fn(&Answer) -> Option<&Rows<T>>) -> Vec<(ClusterName, T)>
    where
        T: Clone,
    {
        let mut all = Vec::new();
        for (cluster, answer) in &self.answers {
            let Some(rows) = pick(answer) else { continue };
            if rows.left_out > 0 {
                terminal::warn(&format!("{cluster}: {} more are not shown", rows.left_out));
            }
            all.extend(rows.rows.iter().map(|row| (cluster.clone(), row.clone())));
        }
        all
    }

    pub fn has_failed(&self) -> impl Iterator<Item = &ClusterName> {
        self.failed.iter().map(|(cluster, _)| cluster)
    }

    /// Notes on standard error what each other cluster said instead of an answer.
    pub fn end(&self) -> Exit {
        self.failed.iter().for_each(|(cluster, error)| note(cluster, error));
        exit(self.failed.iter().map(|(_, error)| error))
    }
}

pub fn note(cluster: &ClusterName, error: &ErrorDetail) {
    let help = error.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    terminal::warn(&output::table::clean(&format!("{cluster}: {}{help}", error.message)));
}

/// Code for what went wrong in single clusters: that one could not be asked weighs more than that it refused.
pub fn exit<'a>(errors: impl IntoIterator<Item = &'a ErrorDetail>) -> Exit {
    let one = |error: &ErrorDetail| match error.code.as_str() {
        "not_found" | "invalid" | "conflict" | "too_large" => Exit::Refused,
        _ => Exit::Unreachable,
    };
    errors.into_iter().map(one).fold(Exit::Done, Exit::worse)
}

/// Prints rows as a table or their ids, or the API's answer as JSON; then what went wrong.
pub fn show(
    format: Format,
    asked: &Asked,
    answers: &Answers,
    people: impl FnOnce(bool) -> String,
) -> Result<Exit, Failure> {
    output::show(format, asked, people)?;
    Ok(answers.end())
}

/// Prints what each cluster did.
pub fn told(format: Format, asked: &Asked) -> Result<Exit, Failure> {
    let answers = Answers::of(asked);
    show(format, asked, &answers, |_| {
        let line = |(cluster, answer): &(ClusterName, Answer)| match answer {
            Answer::Done(text) => output::table::clean(&format!("{cluster}: {text}")) + "\n",
            _ => String::new(),
        };
        answers.answers.iter().map(line).collect()
    })
}

/// Asks before something happens in several clusters at once.
pub fn agreed(yes: bool, question: &str) -> Result<bool, Failure> {
    if yes || terminal::confirm(question, "--yes")? {
        return Ok(true);
    }
    terminal::note("Nothing was changed.");
    Ok(false)
}

/// Ids of services only, one per line.
pub fn ids<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.map(|id| table::short(id) + "\n").collect()
}

/// Ids of tasks only, one per line; docker shortens those of services alone.
pub fn whole_ids<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.map(|id| output::table::clean(id) + "\n").collect()
}

/// An inspected object of each cluster, as docker prints them: a JSON list, each with the cluster it is of.
pub fn objects(asked: &Asked) -> Result<Exit, Failure> {
    let answers = Answers::of(asked);
    let object = |(cluster, answer): &(ClusterName, Answer)| match answer {
        Answer::Object(value) => Some(Inspected { cluster: cluster.clone(), object: value.clone() }),
        _ => None,
    };
    let found: Vec<Inspected> = answers.answers.iter().filter_map(object).collect();
    terminal::print(&(serde_json::to_string_pretty(&found)? + "\n"))?;
    Ok(answers.end())
}

#[derive(Serialize)]
struct Inspected {
    #[serde(rename = "Cluster")]
    cluster: ClusterName,
    #[serde(flatten)]
    object: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        serde_json::from_value(serde_json::json!({ "clusters": {
            "eu-1": { "answer": { "done": "ok" } },
            "eu-2": { "error": { "code": "not_found", "message": "there is no service x" } },
            "us-1": { "error": { "code": "not_connected", "message": "its agent is not connected" } },
        }}))
        .unwrap()
    }

    #[test]
    fn clusters_and_more_become_a_query() {
        let clusters = Clusters { clusters: vec!["eu-1".into(), "region=eu".into()] };
        let more = [("stack", Some("shop")), ("node", None)];
        assert_eq!(clusters.on("/v1/tasks", &more), "/v1/tasks?cluster=eu-1&cluster=region%3Deu&stack=shop");
        assert_eq!(Clusters::default().on("/v1/nodes", &[]), "/v1/nodes");
    }

    #[test]
    fn a_cluster_that_does_not_answer_decides_the_code() {
        let asked = asked();
        let answers = Answers::of(&asked);
        assert_eq!((answers.answers.len(), answers.has_failed().count()), (1, 2));
        assert_eq!(exit(answers.failed.iter().map(|(_, error)| error)), Exit::Unreachable);
        assert_eq!(exit(answers.failed.iter().take(1).map(|(_, error)| error)), Exit::Refused);
        assert_eq!(exit([]), Exit::Done);
    }
}
