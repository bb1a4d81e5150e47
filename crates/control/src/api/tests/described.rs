//! The description holds every route and every body, and refers to nothing it lacks.

use super::super::openapi::{DOCUMENT, PUBLIC};
use super::super::routes;
use super::super::types::{Applied, DrainRequest, ErrorBody, NewToken, RolloutView, TokenView};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let listed: BTreeSet<(String, String)> =
        routes().listed.iter().map(|(method, path)| (method.to_string(), path.to_string())).collect();
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), listed);
    for (path, methods) in paths {
        let public = methods.as_object().unwrap().values().all(|operation| operation["security"] == json!([]));
        assert_eq!(public, PUBLIC.contains(&path.as_str()), "{path}");
        let named: Vec<_> = path.split('/').filter(|part| part.starts_with('{')).collect();
        for operation in methods.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, named.len(), "{path}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut open = vec![&document];
    let mut used = BTreeSet::new();
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(reference.to_owned());
        }
        match value {
            Value::Object(map) => open.extend(map.values()),
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "schema {name} is not used");
    }
}

/// A value made from the schema alone, with nothing optional, is what the code reads.
#[test]
fn schemas_are_what_the_code_reads() {
    fn check<T: DeserializeOwned>(document: &Value, name: &str) {
        let sample = sample(document, &document["components"]["schemas"][name]);
        if let Err(error) = serde_json::from_value::<T>(sample.clone()) {
            panic!("{name}: {error}: {sample}");
        }
    }
    let document = document();
    check::<ErrorBody>(&document, "ErrorBody");
    check::<NewToken>(&document, "NewToken");
    check::<TokenView>(&document, "TokenView");
    check::<Applied>(&document, "Applied");
    check::<DrainRequest>(&document, "DrainRequest");
    check::<RolloutView>(&document, "RolloutView");
    check::<super::super::types::ClusterView>(&document, "ClusterView");
    check::<super::super::types::NameserverView>(&document, "NameserverView");
    check::<super::super::types::NewLogin>(&document, "NewLogin");
    check::<super::super::types::LoginStored>(&document, "LoginStored");
    check::<super::super::types::LoginView>(&document, "LoginView");
    check::<super::super::types::DeployRequest>(&document, "DeployRequest");
    check::<super::super::types::Deployed>(&document, "Deployed");
    check::<super::super::types::StackView>(&document, "StackView");
    check::<super::super::types::StackServices>(&document, "StackServices");
    check::<super::super::types::ReleaseView>(&document, "ReleaseView");
    check::<super::super::types::WhyView>(&document, "WhyView");
    check::<super::super::types::PlansView>(&document, "PlansView");
    check::<super::super::types::RevertRequest>(&document, "RevertRequest");
    check::<super::super::types::Reverted>(&document, "Reverted");
    check::<super::super::types::RouteView>(&document, "RouteView");
    check::<super::super::types::ForceRequest>(&document, "ForceRequest");
    check::<super::super::types::UnforceRequest>(&document, "UnforceRequest");
    check::<super::super::types::StatusView>(&document, "StatusView");
    check::<super::super::types::Asked>(&document, "Asked");
    check::<super::super::types::LogEvent>(&document, "LogEvent");
    check::<super::super::types::NodeUpdate>(&document, "NodeUpdate");
    check::<super::super::types::Scale>(&document, "Scale");
    check::<super::super::types::PruneImages>(&document, "PruneImages");
    check::<super::super::types::WantedToken>(&document, "WantedToken");
    check::<super::super::types::Planned>(&document, "Planned");
    check::<super::super::types::RollbackRequest>(&document, "RollbackRequest");
    check::<super::super::types::AdoptRequest>(&document, "AdoptRequest");
    check::<super::super::types::VerifyView>(&document, "VerifyView");
    check::<super::super::types::OutageView>(&document, "OutageView");
    for (at, form) in document["components"]["schemas"]["Answer"]["oneOf"].as_array().unwrap().iter().enumerate() {
        let sample = sample(&document, form);
        if let Err(error) = serde_json::from_value::<waggle_model::ask::Answer>(sample.clone()) {
            panic!("Answer {at}: {error}: {sample}");
        }
    }
    check::<waggle_model::fleet::Federation>(&document, "Federation");
}

fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return sample(document, document.pointer(&reference[1..]).unwrap());
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(first) = schema[choice].get(0) {
            return sample(document, first);
        }
    }
    match schema["type"].as_str() {
        Some("object") if schema.get("additionalProperties").is_some_and(Value::is_object) => {
            let key = if schema["description"].as_str().is_some_and(|text| text.contains("prefix")) {
                "192.0.2.0/24"
            } else {
                "key"
            };
            json!({ key: sample(document, &schema["additionalProperties"]) })
        }
        Some("object") => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            properties.iter().map(|(name, schema)| (name.clone(), sample(document, schema))).collect()
        }
        Some("array") => json!([sample(document, &schema["items"])]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => match (schema["enum"].get(0), schema["pattern"].as_str()) {
            (Some(first), _) => first.clone(),
            (None, Some("^[0-9a-f]{64}$")) => json!("0".repeat(64)),
            _ if schema["format"] == "cidr" => json!("192.0.2.0/24"),
            _ if schema["format"] == "ip" => json!("192.0.2.1"),
            _ if schema["description"] == "ADDRESS:PORT" => json!("127.0.0.1:7000"),
            _ => json!("key"),
        },
    }
}
