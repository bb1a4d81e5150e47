use super::super::fake::{Fake, a, aaaa, ns};
use super::*;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_resolver_that_fails_is_no_proof_that_there_is_no_zone() {
    let resolver = Fake::start(|question, _, reply| {
        if question.name().to_ascii() == "example." {
            reply.metadata.response_code = ResponseCode::ServFail;
        } else if question.name().is_root() && question.query_type() == RecordType::NS {
            reply.answers.push(ns("", "a.root"));
        }
    })
    .await;
    let failed = referral(resolver.address, &name("shop.example")).await.unwrap_err();
    assert!(failed.contains("answers Server Failure"), "the root must not be asked in its place: {failed}");
    let failed = nameservers(resolver.address, &name("example")).await.unwrap_err();
    assert!(failed.contains("answers Server Failure"), "{failed}");
}

#[tokio::test]
async fn names_that_have_only_ipv6_have_addresses_too() {
    let resolver = Fake::start(|question, _, reply| match question.query_type() {
        RecordType::AAAA => reply.answers.push(aaaa("ns.other.example", "2001:db8::53")),
        // What is told beside it is not what was asked.
        _ => reply.additionals.push(a("else.other.example", [192, 0, 2, 9])),
    })
    .await;
    let found = resolved(resolver.address, &name("ns.other.example")).await.unwrap();
    assert_eq!(found, ["2001:db8::53".parse::<IpAddr>().unwrap()]);
}
