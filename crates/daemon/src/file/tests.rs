use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Corrupt, WriteError, create_private_dir, envelope, read_document, remove_document};
use super::{write_atomic, write_document};

#[test]
fn write_atomic_replaces_with_the_mode_and_leaves_nothing_beside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    write_atomic(&path, b"old and longer", 0o644).unwrap();
    write_atomic(&path, b"new", 0o640).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(names(directory.path()), ["ca.pem"]);
}

#[test]
fn a_temporary_left_by_a_crash_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan");
    fs::write(directory.path().join(format!("plan.{}.tmp", std::process::id())), b"half").unwrap();
    write_atomic(&path, b"whole", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert_eq!(names(directory.path()), ["plan"]);
}

#[test]
fn a_failed_write_leaves_the_old_content_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("taken");
    fs::create_dir(&path).unwrap();
    let error = write_atomic(&path, b"new", 0o600).unwrap_err();
    assert!(matches!(error, WriteError::Io { .. }), "{error:?}");
    assert_eq!(names(directory.path()), ["taken"]);
}

#[test]
fn a_full_disk_is_named_as_such() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = super::write_error(Path::new("/state/plan"), full);
    assert!(matches!(error, WriteError::Full { .. }));
    let text = "no space left for /state/plan; free some or raise the quota, the content before is untouched";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_document_comes_back_as_it_was() {
    let (_directory, path) = document();
    assert_eq!(read_document(&path).unwrap(), None);
    for content in [&b""[..], b"one", b"with\nlines\0and zeros", &[0xff; 5000]] {
        write_document(&path, content).unwrap();
        assert_eq!(read_document(&path).unwrap().as_deref(), Some(content));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn every_torn_or_flipped_document_falls_back_to_the_one_before() {
    let (_directory, path) = document();
    write_document(&path, b"before").unwrap();
    write_document(&path, b"newest").unwrap();
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(read_document(&path).unwrap().as_deref(), Some(&b"before"[..]), "torn after {length} bytes");
    }
    for index in 0..good.len() {
        let mut flipped = good.clone();
        flipped[index] ^= 0x20;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(read_document(&path).unwrap().as_deref(), Some(&b"before"[..]), "byte {index} flipped");
    }
    fs::write(&path, [&good[..], b"tail"].concat()).unwrap();
    assert_eq!(read_document(&path).unwrap().as_deref(), Some(&b"before"[..]), "with a tail");
}

#[test]
fn a_crash_between_the_renames_loses_nothing() {
    let (_directory, path) = document();
    write_document(&path, b"before").unwrap();
    fs::rename(&path, super::previous(&path)).unwrap();
    assert_eq!(read_document(&path).unwrap().as_deref(), Some(&b"before"[..]));
}

#[test]
fn a_damaged_document_does_not_replace_the_good_one_before() {
    let (_directory, path) = document();
    write_document(&path, b"good").unwrap();
    write_document(&path, b"bad soon").unwrap();
    fs::write(&path, b"garbage").unwrap();
    write_document(&path, b"newest").unwrap();
    fs::write(&path, b"garbage again").unwrap();
    assert_eq!(read_document(&path).unwrap().as_deref(), Some(&b"good"[..]));
}

#[test]
fn damage_without_a_version_before_is_an_error_and_not_an_absence() {
    let (_directory, path) = document();
    write_document(&path, b"only").unwrap();
    fs::write(&path, b"garbage").unwrap();
    let error = read_document(&path).unwrap_err();
    assert!(matches!(&error, Corrupt::Damaged { path: named, .. } if *named == path), "{error}");
    fs::remove_file(&path).unwrap();
    fs::write(super::previous(&path), b"garbage").unwrap();
    assert!(read_document(&path).is_err());
}

#[test]
fn a_removed_document_is_gone_with_the_version_before() {
    let (directory, path) = document();
    write_document(&path, b"one").unwrap();
    write_document(&path, b"two").unwrap();
    remove_document(&path).unwrap();
    remove_document(&path).unwrap();
    assert_eq!(read_document(&path).unwrap(), None);
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_document_has_a_size_limit() {
    let (_directory, path) = document();
    let error = write_document(&path, &vec![0; super::MAX_DOCUMENT + 1]).unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { .. }));
    assert_eq!(read_document(&path).unwrap(), None);
}

#[test]
fn the_longest_header_fits() {
    let header = envelope::seal(b"x").len() - 1 - "1".len() + u64::MAX.to_string().len();
    assert_eq!(header, envelope::MAX_HEADER);
}

#[test]
fn a_private_directory_is_for_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    create_private_dir(&path).unwrap();
    create_private_dir(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
}

fn document() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan");
    (directory, path)
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}
