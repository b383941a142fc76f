//! A small tokenizer of the form of Llama 2's, for tests.

use serde_json::{Map, Value, json};

/// Its file: special tokens (0 to 2), bytes (3 to 258), and what `hello` is made of (from 259 on).
pub fn tokenizer() -> Value {
    let special = ["<unk>", "<s>", "</s>"].map(String::from);
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let others = [
        "▁", "h", "e", "l", "o", "ll", "he", "lo", "hell", "hello", "▁hello", "▁▁",
    ];
    let names = special.into_iter().chain(bytes);
    let names = names.chain(others.map(String::from));
    let vocabulary: Map<String, Value> = names
        .enumerate()
        .map(|(number, name)| (name, json!(number)))
        .collect();
    let added = |id: u32, content: &str| json!({"id": id, "content": content, "normalized": false, "special": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing"},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": "<unk>",
            "fuse_unk": true,
            "byte_fallback": true,
            "vocab": vocabulary,
            "merges": ["l l", "h e", "l o", "he ll", "hell o", "▁ hello", "▁ ▁"],
        },
    })
}
