//! Runs every example; each checks itself. `cargo test` has built them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The built example `name`: beside the folder of this test's own binary.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    profile.join("examples").join(file)
}

#[test]
fn every_example_reaches_what_it_says() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_string());
        }
    }
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let program = built(&name);
        assert!(
            program.is_file(),
            "{name} is not built: say `cargo build --release --examples` before a test is run by its name"
        );
        let output = Command::new(&program).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}{errors}");
        assert!(!said.trim().is_empty(), "{name} says nothing");
    }
}
