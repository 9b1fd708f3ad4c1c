//! What an edit does to the file system, and what a key file must be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::{AdminState, BackendChange, ClusterKey, ConfigFile, EditError, Outcome, Overrides};
use super::SHORT;

/// A directory with a configuration in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let path = folder.path().join("xdplb.toml");
    fs::write(&path, SHORT).expect("the file can be written");
    (folder, path)
}

fn drain(name: &str) -> BackendChange {
    BackendChange::SetState { name: name.to_owned(), state: AdminState::Draining }
}

fn load(path: &Path) -> ConfigFile {
    ConfigFile::load(path).expect("the file can be read")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the directory can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_edit_is_written_once_and_keeps_the_mode() {
    let (folder, path) = folder();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("the mode can be set");
    let mut file = load(&path);
    let outcome = file.edit(&drain("b"), &Overrides::default()).expect("this should be possible");
    let Outcome::Changed(config) = outcome else { panic!("something should have changed") };
    assert_eq!(config.backends[1].state, AdminState::Draining);
    let written = fs::read_to_string(&path).expect("the file can be read");
    assert_eq!(written, format!("{SHORT}state = \"draining\"\n"));
    assert_eq!(file.text(), written);
    let before = fs::metadata(&path).expect("the file is there");
    assert_eq!(before.mode() & 0o7777, 0o640);
    assert_eq!(names_in(folder.path()), ["xdplb.toml"], "nothing temporary stays");

    let again = file.edit(&drain("b"), &Overrides::default()).expect("this should be possible");
    assert_eq!(again, Outcome::Unchanged);
    assert_eq!(fs::metadata(&path).expect("the file is there").ino(), before.ino(), "nothing was written");
}

#[test]
fn a_symbolic_link_stays_one() {
    let (folder, path) = folder();
    fs::create_dir(folder.path().join("real")).expect("a directory can be made");
    let real = folder.path().join("real/balancer.toml");
    fs::rename(&path, &real).expect("the file can be moved");
    symlink("real/balancer.toml", &path).expect("a link can be made");
    load(&path).edit(&drain("a"), &Overrides::default()).expect("this should be possible");
    assert!(fs::symlink_metadata(&path).expect("the link is there").is_symlink());
    assert!(fs::read_to_string(&real).expect("the file is there").contains("draining"));
    assert_eq!(names_in(&folder.path().join("real")), ["balancer.toml"]);
}

#[test]
fn a_file_that_somebody_changed_is_left_alone() {
    let (_folder, path) = folder();
    let mut file = load(&path);
    let changed = format!("# mine\n{SHORT}");
    fs::write(&path, &changed).expect("the file can be written");
    let error = file.edit(&drain("a"), &Overrides::default()).expect_err("this should be refused");
    assert_eq!(
        error.to_string(),
        format!("{} has changed since it was loaded; run `xdplb reload`, then repeat", path.display())
    );
    assert_eq!(fs::read_to_string(&path).expect("the file is there"), changed);
    fs::remove_file(&path).expect("the file can be removed");
    let error = file.edit(&drain("a"), &Overrides::default()).expect_err("this should be refused");
    assert!(matches!(error, EditError::Stale(_)), "a file that is gone has changed: {error}");
}

#[test]
fn a_refused_edit_leaves_the_file_and_what_was_loaded() {
    let (folder, path) = folder();
    let mut file = load(&path);
    let twice = BackendChange::Add {
        name: "c".to_owned(),
        address: "10.0.0.11".parse().expect("an address"),
        weight: None,
    };
    file.edit(&twice, &Overrides::default()).expect_err("an address twice should be refused");
    let flags = Overrides { backends: vec!["10.0.0.9".parse().expect("a backend")], ..Overrides::default() };
    let error = file.edit(&drain("a"), &flags).expect_err("backends of flags should be refused");
    assert_eq!(
        error.to_string(),
        format!("the backends come from --backend and not from {}; repeat with --runtime", path.display())
    );
    assert_eq!(fs::read_to_string(&path).expect("the file is there"), SHORT);
    assert_eq!(file.text(), SHORT);
    assert_eq!(names_in(folder.path()), ["xdplb.toml"]);
}

#[test]
fn what_cannot_be_loaded_is_told_with_its_name() {
    let (folder, path) = folder();
    let missing = folder.path().join("missing.toml");
    let error = ConfigFile::load(&missing).expect_err("a missing file should be refused");
    assert_eq!(
        error.to_string(),
        format!(
            "{}: cannot be read (No such file or directory (os error 2)); create it or name another file",
            missing.display()
        )
    );
    fs::write(&path, b"\xff\xfe").expect("the file can be written");
    let error = ConfigFile::load(&path).expect_err("what is not UTF-8 should be refused");
    assert_eq!(
        error.to_string(),
        format!("{}: this is not TOML (not UTF-8); correct it here", path.display())
    );
}

#[test]
fn a_cluster_key_is_a_private_file_of_sixteen_bytes() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let path = folder.path().join("cluster.key");
    let load = |content: &[u8], mode: u32| {
        fs::write(&path, content).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
        ClusterKey::load(&path).map_err(|error| error.to_string())
    };
    let key = ClusterKey::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
    for content in ["000102030405060708090a0b0c0d0eff", "000102030405060708090A0B0C0D0EFF\n"] {
        assert_eq!(load(content.as_bytes(), 0o600), Ok(key.clone()));
    }
    assert_eq!(load(key.bytes(), 0o440), Ok(key.clone()));
    assert_eq!(format!("{key:?}"), "ClusterKey(not shown)");
    let name = path.display();
    for content in [&b""[..], b"short", b"000102030405060708090a0b0c0d0efg", &[b'0'; 33], &[0; 64]] {
        assert_eq!(
            load(content, 0o600),
            Err(format!(
                "the cluster key {name} is neither 16 bytes nor 32 hexadecimal digits; make one: openssl rand -hex \
                 16 > {name}"
            ))
        );
    }
    assert_eq!(
        load(key.bytes(), 0o644),
        Err(format!("the cluster key {name} may be read by everybody (mode 644); run chmod 600 {name}"))
    );
    let told = ClusterKey::load(folder.path()).map_err(|error| error.to_string());
    assert_eq!(
        told,
        Err(format!("the cluster key {} is not a regular file; name a file", folder.path().display()))
    );
}
