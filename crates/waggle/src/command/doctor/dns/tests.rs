use super::super::fake::{Fake, a, ns};
use super::*;
use hickory_proto::op::ResponseCode;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_does_not_fit_into_udp_is_asked_for_over_tcp() {
    let fake = Fake::start(|question, over_tcp, reply| {
        assert_eq!(question.name().to_ascii(), "shop.example.");
        reply.metadata.truncation = !over_tcp;
        reply.authorities.push(ns("shop.example", "ns1.shop.example"));
        if over_tcp {
            reply.authorities.push(ns("shop.example", "ns2.shop.example"));
            reply.additionals.push(a("ns2.shop.example", [192, 0, 2, 2]));
        }
    })
    .await;
    let said = ask(fake.address, &name("shop.example"), Want::Ns, false).await.unwrap();
    assert_eq!(said.nameservers, [name("ns1.shop.example"), name("ns2.shop.example")]);
    assert_eq!(said.addresses[&name("ns2.shop.example")], ["192.0.2.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(said.nameservers_ttl, Some(7));
}

#[tokio::test]
async fn who_cannot_say_has_not_said_that_there_is_nothing() {
    for (code, is_answer) in [
        (ResponseCode::NoError, true),
        (ResponseCode::NXDomain, true),
        (ResponseCode::ServFail, false),
        (ResponseCode::Refused, false),
    ] {
        let fake = Fake::start(move |_, _, reply| reply.metadata.response_code = code).await;
        let said = ask(fake.address, &name("shop.example"), Want::Ns, false).await.unwrap();
        assert_eq!(said.answered(fake.address).is_ok(), is_answer, "{code}");
    }
}
