use super::*;
use crate::objects::PinError;
use crate::objects::service::Platform;
use proptest::prelude::*;

const FULL: &str = include_str!("../testdata/full.yml");
const MERGE: [&str; 2] = [include_str!("../testdata/merge.yml"), include_str!("../testdata/merge.2.yml")];

fn render_texts(texts: &[&str]) -> Result<Rendered, Vec<Problem>> {
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| Source { name: format!("{index}.yml"), text: (*text).to_owned() })
        .collect();
    let read = |path: &Path| match path.extension().and_then(|e| e.to_str()) {
        Some("env") => Ok(b"A=1\n".to_vec()),
        _ => Ok(b"content".to_vec()),
    };
    let env = BTreeMap::from([("TAG".to_owned(), "1".to_owned())]);
    let stack = "shop".parse().unwrap();
    render(&Input {
        stack,
        sources: &sources,
        workdir: Path::new("/w"),
        env: &env,
        read: &read,
        compat: BTreeSet::new(),
    })
}

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn platform(os: &str, architecture: &str) -> Platform {
    Platform { os: os.into(), architecture: architecture.into() }
}

#[test]
fn no_sources_is_an_error() {
    assert!(!render_texts(&[]).unwrap_err().is_empty());
    assert!(!render_texts(&[""]).unwrap_err().is_empty());
    assert!(!render_texts(&["services: {}"]).unwrap_err().is_empty());
}

#[test]
fn tcp_and_udp_of_one_port_survive_a_second_file() {
    let base = "services: {dns: {image: a, ports: ['53:53/tcp', '53:53/udp']}}";
    let rendered = render_texts(&[base, "services: {dns: {labels: {a: b}}}"]).unwrap();
    let ports = &rendered.objects.services["dns"].endpoint_spec.as_ref().unwrap().ports;
    assert_eq!(ports.iter().map(|p| p.protocol.as_str()).collect::<Vec<_>>(), ["tcp", "udp"]);
}

#[test]
fn test_and_disable_of_two_files_replace_each_other() {
    let text = |check: &str| format!("services: {{a: {{image: a, healthcheck: {check}}}}}");
    let merged = |texts: [&str; 2]| {
        let rendered = render_texts(&texts.map(text).each_ref().map(String::as_str)).unwrap();
        let container = rendered.objects.services["a"].task_template.container_spec.clone();
        container.healthcheck.unwrap().test
    };
    assert_eq!(merged(["{test: [CMD, a]}", "{disable: true}"]), ["NONE"]);
    assert_eq!(merged(["{disable: true}", "{test: [CMD, a]}"]), ["CMD", "a"]);
    assert_eq!(merged(["{test: [CMD, a]}", "{test: [CMD, b]}"]), ["CMD", "b"]);
}

#[test]
fn pinning_needs_every_image_with_its_own_digest() {
    let rendered = render_texts(&["services: {a: {image: nginx}, b: {image: 'r.example:5000/b:1'}}"]).unwrap();
    let mut objects = rendered.objects;
    assert_eq!(objects.images(), ["nginx", "r.example:5000/b:1"].map(str::to_owned).into());
    let pin = |reference: String| Pin {
        reference,
        platforms: vec![
            platform("linux", "amd64"),
            platform("linux", "arm"),
            platform("linux", "amd64"),
            platform("unknown", "unknown"),
        ],
    };
    let nginx = ("nginx".to_owned(), pin(format!("nginx:latest@{}", digest("a"))));
    let b = |reference: String| ("r.example:5000/b:1".to_owned(), pin(reference));
    let before = objects.clone();
    assert!(matches!(objects.pin(&BTreeMap::from([nginx.clone()])), Err(PinError::Missing(_))));
    let pins = BTreeMap::from([nginx.clone(), b("r.example:5000/b:1".into())]);
    assert!(matches!(objects.pin(&pins), Err(PinError::NoDigest { .. })));
    let pins = BTreeMap::from([nginx.clone(), b(format!("b@{}", digest("b")))]);
    assert!(matches!(objects.pin(&pins), Err(PinError::Other { .. })));
    assert_eq!(objects, before);
    let pins = BTreeMap::from([nginx, b(format!("r.example:5000/b@{}", digest("b")))]);
    objects.pin(&pins).unwrap();
    let task = &objects.services["a"].task_template;
    assert_eq!(task.container_spec.image, format!("nginx:latest@{}", digest("a")));
    let placement = task.placement.as_ref().unwrap();
    assert_eq!(placement.platforms, [platform("linux", "amd64"), platform("linux", "")]);
    assert_eq!(objects.services["b"].task_template.container_spec.image, format!("r.example:5000/b:1@{}", digest("b")));
    assert_eq!(objects.images(), before.images());
    objects.pin(&pins).unwrap();
}

#[test]
fn canonical_json_reads_back_and_refuses_the_unknown() {
    let objects = render_texts(&[FULL]).unwrap().objects;
    let text = objects.canonical_json();
    assert_eq!(Objects::from_json(&text).unwrap(), objects);
    let more = text.replacen("\"Name\"", "\"Novelty\":1,\"Name\"", 1);
    assert!(matches!(Objects::from_json(&more), Err(objects::ParseError::Unknown)));
    assert!(matches!(Objects::from_json("{"), Err(objects::ParseError::Json(_))));
}

#[test]
fn release_ids_depend_on_content_alone() {
    let release = |text: &str| {
        let rendered = render_texts(&[text]).unwrap();
        let hashes = rendered.objects.payload_hashes();
        let stack = "shop".parse().unwrap();
        release_body(
            stack,
            &rendered.objects,
            BTreeMap::new(),
            rendered.routes,
            rendered.promotion,
            rendered.upkeep,
            hashes,
        )
    };
    let body = release(FULL);
    assert_eq!(body.payloads.len(), 1, "both files have the same content");
    assert_eq!(release_id(&body), release_id(&release(&format!("# comment\n{FULL}"))));
    assert_ne!(release_id(&body), release_id(&release(&FULL.replace("replicas: 3", "replicas: 4"))));
}

#[test]
fn payloads_are_named_by_hash() {
    let rendered = render_texts(&[FULL]).unwrap();
    assert_eq!(
        rendered.payloads.keys().cloned().collect::<std::collections::BTreeSet<_>>(),
        rendered.objects.payload_hashes()
    );
    assert!(!rendered.objects.canonical_json().contains("content"));
}

/// Cuts, doubles or changes one line, or one character.
fn mutated(text: &str, at: usize, kind: u8, with: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let line = at % lines.len();
    match kind % 5 {
        0 => {
            lines.remove(line);
        }
        1 => lines.insert(line, lines[line]),
        2 => lines[line] = with,
        3 => lines.truncate(line),
        _ => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at % chars.len();
            chars.splice(at..=at, with.chars());
            return chars.into_iter().collect();
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn render_never_panics(
        edits in prop::collection::vec((any::<usize>(), any::<u8>(), "[-a: \\[\\]{},&*0-9'$]{0,6}|\\PC{0,4}"), 1..4),
        which in 0..3_usize,
    ) {
        let base = [FULL, MERGE[0], MERGE[1]][which];
        let text = edits.iter().fold(base.to_owned(), |text, (at, kind, with)| {
            if text.is_empty() { text } else { mutated(&text, *at, *kind, with) }
        });
        for texts in [vec![text.as_str()], vec![MERGE[0], text.as_str()]] {
            if let Err(problems) = render_texts(&texts) {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            }
        }
    }

    #[test]
    fn render_is_deterministic_and_reads_back(edits in prop::collection::vec(any::<usize>(), 0..3)) {
        let text = edits.iter().fold(FULL.to_owned(), |text, at| mutated(&text, *at, 0, ""));
        let (one, two) = (render_texts(&[&text]), render_texts(&[&text]));
        prop_assert_eq!(&one, &two);
        if let Ok(rendered) = one {
            let text = rendered.objects.canonical_json();
            prop_assert_eq!(Objects::from_json(&text).unwrap().canonical_json(), text);
        }
    }
}

#[test]
fn replicas_are_kept_where_the_files_say_so() {
    let base = "services:
  web: {image: nginx, x-waggle: {replicas: keep}}
  api: {image: nginx}
  job: {image: nginx, deploy: {mode: global}}
x-waggle: {replicas: {api: keep, web: file}}";
    let kept = |texts: &[&str]| render_texts(texts).map(|rendered| rendered.upkeep.keep_replicas);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(kept(&[base]).unwrap(), names(&["api", "web"]), "the service's own word counts");
    let over = "services: {web: {x-waggle: {replicas: file}}}";
    assert_eq!(kept(&[base, over]).unwrap(), names(&["api"]), "a later file's counts");
    assert_eq!(render_texts(&[base]).unwrap().warnings, [], "nothing is ignored");
    for (text, said) in [
        ("x-waggle: {replicas: {job: keep}}", "service job is global: it has no number of replicas to keep"),
        ("x-waggle: {replicas: {nobody: keep}}", "names the undefined service \"nobody\""),
        ("services: {web: {x-waggle: {replicas: 3}}}", "replicas"),
        ("services: {web: {x-waggle: {routes: []}}}", "unknown key \"routes\""),
    ] {
        let problems = kept(&[base, text]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(said)), "{text}: {problems:?}");
    }
}
