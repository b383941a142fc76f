//! The tokens of a small tokenizer, as the `tokenizers` package finds them, and the errors. The real one is compared in
//! `tests/text.rs`.

use super::*;
use crate::text::tiny;
use serde_json::{Value, json};

fn read(file: &Value) -> std::result::Result<Tokenizer, String> {
    Tokenizer::from_json(file.to_string().as_bytes())
}

/// The tiny tokenizer with another value at a place in its file.
fn with(pointer: &str, value: Value) -> Value {
    let mut file = tiny::tokenizer();
    *file.pointer_mut(pointer).unwrap() = value;
    file
}

#[track_caller]
fn assert_refused(file: &Value, parts: &[&str]) {
    let message = read(file).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "{message}");
    }
}

#[track_caller]
fn assert_tokens(file: &Value, cases: &[(&str, &[u32])]) {
    let tokenizer = read(file).unwrap();
    for (text, tokens) in cases {
        assert_eq!(tokenizer.encode(text), *tokens, "{text:?}");
    }
}

#[test]
fn what_was_learned_first_is_merged_first() {
    let cases: [(&str, &[u32]); 7] = [
        ("hello", &[269]),
        ("hello hello", &[269, 269]),
        ("lo", &[259, 266]),
        ("lllo", &[259, 264, 266]),
        ("hel lo", &[259, 265, 262, 259, 266]),
        ("  ", &[270, 259]),
        ("", &[]),
    ];
    assert_tokens(&tiny::tokenizer(), &cases);
    assert_eq!(read(&tiny::tokenizer()).unwrap().largest(), 270);
}

#[test]
fn characters_without_a_token_are_bytes() {
    let cases: [(&str, &[u32]); 3] = [
        ("é\n", &[259, 198, 172, 13]),
        ("\0h", &[259, 3, 260]),
        ("o🙂", &[259, 263, 243, 162, 156, 133]),
    ];
    assert_tokens(&tiny::tokenizer(), &cases);
}

#[test]
fn added_tokens_are_found_in_the_text() {
    let cases: [(&str, &[u32]); 3] = [
        ("</s>", &[2]),
        ("hello</s>hello<s>", &[269, 2, 269, 1]),
        ("he<s", &[259, 265, 63, 118]),
    ];
    assert_tokens(&tiny::tokenizer(), &cases);
}

#[test]
fn merges_may_be_pairs() {
    let merges = json!([
        ["l", "l"],
        ["h", "e"],
        ["l", "o"],
        ["he", "ll"],
        ["hell", "o"],
        ["▁", "hello"]
    ]);
    let file = with("/model/merges", merges);
    let cases: [(&str, &[u32]); 1] = [("hello lo", &[269, 259, 266])];
    assert_tokens(&file, &cases);
}

/// Every merge makes the text one token shorter, so that a text of one letter takes as many steps as there can be.
#[test]
fn long_texts_end() {
    let tokenizer = read(&tiny::tokenizer()).unwrap();
    let tokens = tokenizer.encode(&"l".repeat(300_001));
    assert_eq!(tokens.len(), 150_002);
    assert_eq!((tokens[0], tokens[150_001]), (259, 262));
    assert!(tokens[1..150_001].iter().all(|&token| token == 264));
}

#[test]
fn what_is_not_supported_is_named() {
    let bert = json!({"type": "BertNormalizer", "lowercase": true});
    let lowercase = json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]});
    let words = json!({"type": "WordPiece", "max_input_chars_per_word": 100});
    let cases = [
        ("/version", json!("2.0"), "version \"2.0\""),
        ("/normalizer", bert, "normalizer \"BertNormalizer\""),
        ("/normalizer", json!(null), "normalizer \"null\""),
        ("/normalizer", lowercase, "normalizer \"Lowercase\""),
        (
            "/pre_tokenizer",
            json!({"type": "Metaspace"}),
            "\"Metaspace\"",
        ),
        ("/model", words, "model \"WordPiece\""),
        (
            "/model/byte_fallback",
            json!(false),
            "without byte_fallback",
        ),
        ("/model/dropout", json!(0.1), "with dropout"),
        ("/added_tokens/1/normalized", json!(true), "added token"),
    ];
    for (pointer, value, part) in cases {
        assert_refused(&with(pointer, value), &[part, "is not supported"]);
    }
    let mut file = tiny::tokenizer();
    file["model"]["ignore_merges"] = json!(true);
    assert_refused(&file, &["with ignore_merges", "is not supported"]);
    file["model"]["new_setting"] = json!(true);
    assert_refused(&file, &["unknown field `new_setting`"]);
}

#[test]
fn contradictions_are_named() {
    let merge = |merge: Value| with("/model/merges", json!(["l l", merge]));
    assert_refused(&merge(json!("h x")), &["merge 1", "\"x\""]);
    assert_refused(&merge(json!("o h")), &["merge 1", "\"oh\""]);
    assert_refused(&merge(json!("hello")), &["merge 1 is not two tokens"]);
    assert_refused(&merge(json!("h e l")), &["merge 1 is not two tokens"]);
    assert_refused(&merge(json!(["h"])), &["a merge must be"]);
    let moved = with("/added_tokens/2/id", json!(3));
    assert_refused(&moved, &["\"</s>\" is not token 3"]);
    let empty = with("/added_tokens/2/content", json!(""));
    assert_refused(&empty, &["\"\" must have 1 to 64 bytes"]);
    let none = with("/model/vocab", json!({"l": 0}));
    assert_refused(&none, &["byte_fallback needs the token \"<0x00>\""]);
    assert!(Tokenizer::from_json(b"").is_err());
}
