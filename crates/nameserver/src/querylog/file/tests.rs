use super::*;
use crate::querylog::entry::tests::sampled;
use crate::state::Serving;
use crate::tests::fixture::{ROUTE, plan, query};
use hickory_proto::rr::RecordType;
use std::process::Command;
use waggle_dns::Snapshot;

fn entries(count: usize) -> Vec<Entry> {
    let plan = plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")]);
    let serving = Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap());
    let one = sampled(&serving, &query(ROUTE, RecordType::A), "198.51.100.7:4711");
    let entry = Entry::new(one, Some(&serving), None);
    vec![entry; count]
}

fn log(path: &Path, settings: QueryLog) -> LogFile {
    LogFile::new(&"ns-1".parse().unwrap(), &QueryLog { file: Some(path.to_owned()), ..settings }).unwrap()
}

fn counts(entries: &Entries) -> (u64, u64) {
    (entries.written.load(Ordering::Relaxed), entries.lost.load(Ordering::Relaxed))
}

#[test]
fn files_are_turned_over_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queries.jsonl");
    let (bytes, counted) = (4000, Entries::default());
    let mut file = log(&path, QueryLog { file_bytes: bytes, files: 3, ..QueryLog::default() });
    for _ in 0..20 {
        file.take(entries(5), &counted);
    }
    let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names, [path.clone(), numbered(&path, 1), numbered(&path, 2)]);
    for name in &names {
        let text = fs::read_to_string(name).unwrap();
        assert!(text.len() as u64 <= bytes && text.ends_with('\n'), "{}", text.len());
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["source"] == "198.51.100.0/24")
        );
    }
    assert_eq!(counts(&counted), (100, 0));
    // The next process goes on where this one was.
    let before = fs::metadata(&path).unwrap().len();
    log(&path, QueryLog { whole_addresses: true, ..QueryLog::default() }).take(entries(1), &counted);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.len() as u64 > before && text.lines().last().unwrap().contains("198.51.100.7/32"), "{text}");
}

#[test]
fn a_disk_that_takes_nothing_is_counted_and_tried_again() {
    let counted = Entries::default();
    let mut full = log(Path::new("/dev/full"), QueryLog::default());
    full.take(entries(3), &counted);
    assert_eq!(counts(&counted), (0, 3));

    let directory = tempfile::tempdir().unwrap();
    let away = directory.path().join("logs");
    let mut file = log(&away.join("queries.jsonl"), QueryLog::default());
    file.take(entries(2), &counted);
    assert_eq!(counts(&counted), (0, 5));
    fs::create_dir(&away).unwrap();
    file.take(entries(2), &counted);
    assert_eq!(counts(&counted), (2, 5));
}

#[test]
fn a_file_that_cannot_be_turned_over_grows_no_further() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queries.jsonl");
    // Nothing can be renamed to the name of a directory.
    fs::create_dir(numbered(&path, 1)).unwrap();
    let (bytes, counted) = (4000, Entries::default());
    let mut file = log(&path, QueryLog { file_bytes: bytes, files: 2, ..QueryLog::default() });
    for _ in 0..60 {
        file.take(entries(1), &counted);
    }
    let (written, lost) = counts(&counted);
    assert_eq!(written + lost, 60);
    assert!(fs::metadata(&path).unwrap().len() <= bytes && written > 5, "{written} written, {lost} lost");
    fs::remove_dir(numbered(&path, 1)).unwrap();
    file.take(entries(1), &counted);
    assert_eq!(counts(&counted), (written + 1, lost), "and is turned over once that works");
}

/// Held against the reader of others: Debian's bind9-dnsutils.
#[test]
fn dnstap_is_what_dnstap_read_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queries.tap");
    let counted = Entries::default();
    let settings = QueryLog { file_format: FileFormat::Dnstap, whole_addresses: true, ..QueryLog::default() };
    for _ in 0..2 {
        let mut file = log(&path, settings.clone());
        file.take(entries(2), &counted);
        file.close();
    }
    assert_eq!(counts(&counted), (4, 0));
    for file in [&path, &numbered(&path, 1)] {
        let read = Command::new("dnstap-read").arg("-p").arg(file).output().expect("dnstap-read of bind9-dnsutils");
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(read.status.success(), "{text}{}", String::from_utf8_lossy(&read.stderr));
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(" AR ")).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.contains("198.51.100.7:4711") && line.contains(ROUTE)), "{text}");
        assert!(text.contains("IN\tA\t192.0.2.1"), "{text}");
    }
}
