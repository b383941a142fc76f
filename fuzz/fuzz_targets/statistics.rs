//! Statistics of features.

#![no_main]

#[path = "../../crates/smalti/tests/hostile/entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static PLACE: LazyLock<entry::Place> = LazyLock::new(entry::Place::new);

fuzz_target!(|bytes: &[u8]| {
    // Any result will do, as long as there is one.
    let _ = entry::statistics(&PLACE, bytes);
});
