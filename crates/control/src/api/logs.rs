//! Logs of several clusters as one stream of server-sent events, each with the lines of one cluster as they come.

use super::ask::{not_answered, refused, select};
use super::error::Params;
use super::types::{ErrorDetail, LogEvent};
use super::{Api, ApiError, Caller};
use crate::sessions::agents::{ASK_DEADLINE, Answers, AskError};
use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{BoxStream, Stream, StreamExt, once, select_all, unfold};
use std::convert::Infallible;
use waggle_model::ClusterName;
use waggle_model::ask::{Answer, LogChunk, LogQuery, LogTarget, Question};

/// Name of each event.
const EVENT: &str = "log";

pub(super) async fn logs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let query = query(&params)?;
    let clusters = select(&api, &params.clusters()).await?;
    let place = api.events.clone().try_acquire_owned();
    let place =
        place.map_err(|_| ApiError::unavailable("too many streams of events are open").help("try again later"))?;
    let (follow, question) = (query.follow, Question::Logs(query));
    let streams =
        clusters.into_iter().map(|cluster| match api.sessions.agents.open(&cluster, &question, &caller.traceparent) {
            Ok(answers) => of_one(cluster, answers, follow),
            Err(error) => once(async move { failed(cluster, &error) }).boxed(),
        });
    let stop = api.stop.clone();
    let events = select_all(streams).take_until(stop.cancelled_owned()).map(move |event| {
        // Held as long as the stream.
        let _place = &place;
        Ok(Event::default().event(EVENT).json_data(&event).unwrap_or_default())
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn query(params: &Params) -> Result<LogQuery, ApiError> {
    params.only(&["stack", "service", "task", "follow", "tail", "since"])?;
    let stack = params.parsed("stack")?.map(LogTarget::Stack);
    let service = params.one("service").map(|name| LogTarget::Service(name.to_owned()));
    let task = params.one("task").map(|id| LogTarget::Task(id.to_owned()));
    let mut targets = [stack, service, task].into_iter().flatten();
    let (Some(target), None) = (targets.next(), targets.next()) else {
        return Err(ApiError::invalid("one of stack, service and task says whose log is meant"));
    };
    let since = params.parsed("since")?.map(waggle_model::Timestamp);
    Ok(LogQuery { target, follow: params.parsed("follow")?.unwrap_or(false), tail: params.parsed("tail")?, since })
}

/// The lines of one cluster. Only who follows may wait for ever.
fn of_one(cluster: ClusterName, answers: Answers, follow: bool) -> BoxStream<'static, LogEvent> {
    let events = unfold(Some(answers), move |answers| {
        let cluster = cluster.clone();
        async move {
            let mut answers = answers?;
            let next = async {
                match follow {
                    true => answers.next().await,
                    false => {
                        let next = tokio::time::timeout(ASK_DEADLINE, answers.next()).await;
                        next.unwrap_or(Err(AskError::Deadline(ASK_DEADLINE)))
                    }
                }
            };
            match next.await {
                Ok(None) => None,
                Ok(Some(Answer::Logs(chunk))) => {
                    let LogChunk { lines, dropped, notes } = chunk;
                    let event = LogEvent { cluster, lines, dropped, notes, error: None };
                    Some((event, Some(answers)))
                }
                Ok(Some(Answer::Refused(refusal))) => {
                    let error = Some(refused(refusal));
                    Some((ended(cluster, error), None))
                }
                Ok(Some(_)) => Some((failed(cluster, &AskError::Answer("it is no log".into())), None)),
                Err(error) => Some((failed(cluster, &error), None)),
            }
        }
    });
    events.boxed()
}

fn failed(cluster: ClusterName, error: &AskError) -> LogEvent {
    ended(cluster, Some(not_answered(error)))
}

fn ended(cluster: ClusterName, error: Option<ErrorDetail>) -> LogEvent {
    LogEvent { cluster, lines: Vec::new(), dropped: 0, notes: Vec::new(), error }
}
