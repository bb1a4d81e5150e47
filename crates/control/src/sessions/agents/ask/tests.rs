//! Asking through the desks of sessions that the test answers for.

use super::super::Attached;
use super::*;
use crate::reconcile::Wake;
use waggle_model::ask::{LogChunk, Rows};

const DEADLINE: Duration = Duration::from_millis(500);

fn agents() -> Agents {
    Agents::new(Wake::default())
}

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

async fn asked(attached: &Attached<'_>) -> u64 {
    match attached.desk.next().await {
        Kind::Ask(ask) => ask.id,
        other => panic!("{other:?}"),
    }
}

fn message(id: u64, answer: &Answer, more: bool) -> Message {
    Message { id, json: serde_json::to_vec(answer).unwrap().into(), more }
}

fn nodes() -> Answer {
    Answer::Nodes(Rows { rows: Vec::new(), left_out: 0 })
}

fn lines(dropped: u64) -> Answer {
    Answer::Logs(LogChunk { dropped, ..LogChunk::default() })
}

#[tokio::test]
async fn a_hanging_agent_does_not_delay_the_others() {
    let agents = agents();
    let (good, _asks) = agents.attach(&name("eu-1")).unwrap();
    let (_hanging, _asks) = agents.attach(&name("us-1")).unwrap();
    let (broken, _asks) = agents.attach(&name("ap-1")).unwrap();
    let clusters = ["eu-1", "us-1", "ap-1", "sa-1"].map(name);
    let started = tokio::time::Instant::now();
    let asking = agents.ask_all(clusters.into(), &Question::Nodes, DEADLINE, "");
    let answering = async {
        let id = asked(&good).await;
        let json = message(id, &nodes(), false).json;
        // In parts, as long answers come.
        good.desk.answered(Message { id, json: json.slice(..5), more: true });
        good.desk.answered(Message { id, json: json.slice(5..), more: false });
        drop(broken);
    };
    let (answers, ()) = tokio::join!(asking, answering);
    assert!(started.elapsed() >= DEADLINE && started.elapsed() < DEADLINE * 10, "{:?}", started.elapsed());
    assert_eq!(answers[&name("eu-1")], Ok(nodes()));
    assert_eq!(answers[&name("us-1")], Err(AskError::Deadline(DEADLINE)));
    assert_eq!(answers[&name("ap-1")], Err(AskError::Lost));
    assert_eq!(answers[&name("sa-1")], Err(AskError::NotConnected));
}

#[tokio::test]
async fn whoever_goes_away_withdraws() {
    let agents = agents();
    let (attached, _asks) = agents.attach(&name("eu-1")).unwrap();
    let first = agents.open(&name("eu-1"), &Question::Nodes, "").unwrap();
    let id = asked(&attached).await;
    drop(first);
    assert_eq!(attached.desk.next().await, Kind::Withdraw(id));
    attached.desk.answered(message(id, &nodes(), false));
    // One that was not even sent leaves no trace.
    drop(agents.open(&name("eu-1"), &Question::Nodes, "").unwrap());
    assert!(attached.desk.state().outgoing.is_empty());
    let done = agents.open(&name("eu-1"), &Question::Nodes, "").unwrap();
    let id = asked(&attached).await;
    attached.desk.answered(message(id, &nodes(), false));
    assert_eq!(done.whole().await, Ok(nodes()));
    assert!(attached.desk.state().outgoing.is_empty(), "nothing to withdraw");
}

#[tokio::test]
async fn questions_have_a_limit() {
    let agents = agents();
    let (_attached, _asks) = agents.attach(&name("eu-1")).unwrap();
    let open = || agents.open(&name("eu-1"), &Question::Nodes, "");
    let mut held: Vec<_> = (0..QUESTIONS_MAX).map(|_| open().unwrap()).collect();
    assert_eq!(open().err(), Some(AskError::Busy));
    held.pop();
    assert!(open().is_ok());
}

#[tokio::test]
async fn an_agent_that_sends_too_far_ahead_is_cut_off() {
    let agents = agents();
    let (attached, _asks) = agents.attach(&name("eu-1")).unwrap();
    let mut answers = agents.open(&name("eu-1"), &Question::Nodes, "").unwrap();
    let id = asked(&attached).await;
    for sent in 0..AHEAD_MAX as u64 {
        attached.desk.answered(message(id, &lines(sent), true));
    }
    assert_eq!(answers.next().await, Ok(Some(lines(0))));
    assert_eq!(attached.desk.next().await, Kind::Took(id), "room for one more");
    attached.desk.answered(message(id, &lines(99), true));
    attached.desk.answered(message(id, &lines(100), true));
    for _ in 0..AHEAD_MAX {
        assert!(matches!(answers.next().await, Ok(Some(_))));
    }
    assert_eq!(answers.next().await, Err(AskError::Lost));
}

#[tokio::test]
async fn several_answers_end_with_the_last() {
    let agents = agents();
    let (attached, _asks) = agents.attach(&name("eu-1")).unwrap();
    let mut answers = agents.open(&name("eu-1"), &Question::Nodes, "").unwrap();
    let id = asked(&attached).await;
    attached.desk.answered(message(id, &lines(1), true));
    attached.desk.answered(message(id, &lines(2), false));
    assert_eq!(answers.next().await, Ok(Some(lines(1))));
    assert_eq!(answers.next().await, Ok(Some(lines(2))));
    assert_eq!(answers.next().await, Ok(None));
}
