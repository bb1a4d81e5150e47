use super::rotate::{Rotated, Rotation, rotate};
use super::*;
use crate::records::Edit;
use crate::store::redb::Redb;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A store on disk, with secrets and a login.
struct Bed {
    dir: tempfile::TempDir,
    sealed: BTreeMap<Key, String>,
}

impl Bed {
    async fn new(secrets: usize) -> Bed {
        let mut bed = Bed { dir: tempfile::tempdir().unwrap(), sealed: BTreeMap::new() };
        let store = bed.store();
        let vault = Vault::open(&store, &bed.key()).await.unwrap();
        let mut edit = Edit::new();
        for number in 0..secrets {
            let clear = format!("secret number {number}");
            let (name, value) = vault.seal(clear.as_bytes()).unwrap();
            edit.put_bytes(keys::payload(&name), value);
            bed.sealed.insert(keys::payload(&name), clear);
        }
        let key = keys::login("registry.example:5000");
        edit.put_bytes(key.clone(), vault.seal_as(key.as_str(), b"a login").unwrap());
        bed.sealed.insert(key, "a login".into());
        edit.commit(&store).await.unwrap().unwrap();
        bed
    }

    fn store(&self) -> Redb {
        Redb::open(&self.dir.path().join("store")).unwrap()
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("store.key")
    }

    fn ids(&self) -> Vec<u32> {
        Ring::read(&self.key()).unwrap().unwrap().keys.into_keys().collect()
    }

    /// Everything is there and can be read, as control would after a start.
    async fn check(&self) {
        let store = self.store();
        let vault = Vault::open(&store, &self.key()).await.unwrap();
        for (key, clear) in &self.sealed {
            let entry = store.get(key).await.unwrap().unwrap();
            assert_eq!(vault.unseal(name_of(key), &entry.value).unwrap(), clear.as_bytes(), "{key}");
        }
        let (name, value) = vault.seal(b"new").unwrap();
        assert_eq!(vault.unseal(&name, &value).unwrap(), "new");
    }

    async fn rotate(&self) -> Rotated {
        rotate(&self.store(), &self.key()).await.unwrap()
    }
}

#[tokio::test]
async fn the_key_is_kept_apart_and_private() {
    let bed = Bed::new(1).await;
    assert_eq!(std::fs::metadata(bed.key()).unwrap().permissions().mode() & 0o777, 0o600);
    let vault = Vault::open(&bed.store(), &bed.key()).await.unwrap();
    let (name, value) = vault.seal(b"hunter2").unwrap();
    assert!(!value.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(vault.unseal(&name, &value).unwrap(), "hunter2");
    assert!(Vault::in_memory().unwrap().unseal(&name, &value).is_err());
    let (other, _) = vault.seal(b"other").unwrap();
    assert!(vault.unseal(&other, &value).is_err(), "a value is bound to its name");
    assert!(vault.unseal(&name, &value[..9]).is_err() && vault.unseal(&name, &[]).is_err());
}

#[tokio::test]
async fn a_key_that_is_missing_wrong_or_damaged_is_told_at_start() {
    let bed = Bed::new(1).await;
    let error = async || Vault::open(&bed.store(), &bed.key()).await.err().unwrap();
    let right = std::fs::read(bed.key()).unwrap();
    std::fs::remove_file(bed.key()).unwrap();
    assert!(matches!(error().await, VaultError::Missing { .. }));
    assert!(!bed.key().exists(), "no new key is made over sealed values");
    Ring::new().unwrap().write(&bed.key()).unwrap();
    assert!(matches!(error().await, VaultError::Wrong { .. }));
    for damaged in [&right[..right.len() - 3], &b"{}"[..], &b""[..]] {
        std::fs::write(bed.key(), damaged).unwrap();
        assert!(matches!(error().await, VaultError::Damaged { .. }));
    }
    std::fs::write(bed.key(), right).unwrap();
    bed.check().await;
}

#[tokio::test]
async fn rotation_retires_the_old_key() {
    let bed = Bed::new(7).await;
    let old = std::fs::read(bed.key()).unwrap();
    assert_eq!(bed.rotate().await, Rotated { key: 2, values: 9, resumed: false });
    assert_eq!(bed.ids(), [2]);
    bed.check().await;
    assert_eq!(bed.rotate().await, Rotated { key: 3, values: 9, resumed: false });
    bed.check().await;
    std::fs::write(bed.key(), old).unwrap();
    let error = Vault::open(&bed.store(), &bed.key()).await.err().unwrap();
    assert!(matches!(error, VaultError::Wrong { .. }), "the old key opens nothing");
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_loses_nothing_and_is_gone_on_with() {
    for steps in 0.. {
        let bed = Bed::new(7).await;
        let ended = {
            let (store, path) = (bed.store(), bed.key());
            let mut rotation = Rotation::open(&store, &path).await.unwrap();
            let mut ended = false;
            for _ in 0..steps {
                ended = !rotation.step().await.unwrap();
            }
            ended
        };
        bed.check().await;
        if ended {
            assert_eq!(bed.ids(), [2]);
            assert!(steps > 5, "there were places to be cut off at");
            break;
        }
        assert_eq!(bed.ids().len(), if steps == 0 { 1 } else { 2 }, "after {steps} steps");
        let rotated = bed.rotate().await;
        assert_eq!((rotated.key, rotated.resumed), (2, steps > 0), "no third key is made");
        assert_eq!(bed.ids(), [2]);
        bed.check().await;
    }
}

#[tokio::test]
async fn a_key_that_is_nothing_but_bytes_is_read_and_rotated() {
    let mut bed = Bed::new(0).await;
    let bare = Ring { current: BARE, keys: [(BARE, zeroize::Zeroizing::new(vec![7; 32]))].into() };
    let vault = Vault::of(&bare).unwrap();
    {
        let store = bed.store();
        let mut edit = Edit::new();
        let new = vault.seal_as("x", b"old").unwrap();
        // As first versions wrote it: without the id of the key.
        let name = hex(&digest(b"old"));
        let sealed = vault.seal_as(&name, b"old").unwrap();
        let first: Bytes = [&[FORM_BARE], &sealed[1 + ID_LEN..]].concat().into();
        assert_eq!(vault.unseal("x", &new).unwrap(), vault.unseal(&name, &first).unwrap());
        edit.put_bytes(keys::payload(&name), first).delete(keys::vault()).delete(keys::login("registry.example:5000"));
        edit.commit(&store).await.unwrap().unwrap();
        bed.sealed = [(keys::payload(&name), "old".to_owned())].into();
    }
    std::fs::write(bed.key(), [7; 32]).unwrap();
    bed.check().await;
    assert_eq!(bed.rotate().await.key, 1);
    assert_eq!(bed.ids(), [1]);
    bed.check().await;
}
