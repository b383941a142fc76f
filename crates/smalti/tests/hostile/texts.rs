//! Settings, configurations of the authors, lists of pictures and of captions, tokenizers of texts, and logs.

use crate::mutate;
use crate::seeds::Seeds;
use crate::tiny;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use smalti::prior::PriorRecipe;
use smalti::tokenizer::TokenizerRecipe;
use smalti::training::settings::to_yaml;

/// Changes a text.
pub fn make(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    let file = seeds.any(random);
    mutate::text(random, file, &seeds.good)
}

pub fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The settings of both trainings.
pub fn settings() -> Seeds {
    let (tokenizer, prior) = (TokenizerRecipe::default(), PriorRecipe::default());
    let mut good = vec![
        to_yaml(&[&tokenizer.network, &tokenizer.training])
            .unwrap()
            .into_bytes(),
        to_yaml(&[&prior.network, &prior.training])
            .unwrap()
            .into_bytes(),
    ];
    good.extend(owned(&[
        "",
        "channels: 32\nchannel_multipliers: [1, 1]\nquantizer: nearest\nbeta: 0.25\n",
        "layers: 2\r\nheads: 2\r\nwidth: 64\r\npkeep: 0.9\r\n",
    ]));
    let mut bad = bombs();
    bad.extend(owned(&[
        "channels: 18446744073709551615\n",
        "channel_multipliers: [64, 64, 64, 64, 64, 64, 64, 64, 64]\n",
        "channel_multipliers: []\nsize: 0\n",
        "beta: .nan\n",
        "beta: 1e39\nsize: 64\n",
        "batch: 1000001\n",
        "steps: 1\nsteps: 2\n",
        "discriminator_layers: 7\n",
        "size: 32768\nresize: 32769\n",
        "background: [1, 2, 300]\n",
        "? [a, b]\n: c\n",
        "heads: 0\nlayers: 0\nwidth: 0\n",
        "--- a\n--- b\n",
        "# nothing\n---\n",
        "a: !!binary aGVsbG8=\n",
        "<<: *nothing\n",
        "a: &a [*a]\n",
        "\u{feff}size: 64\n",
        "\t: x\n",
    ]));
    Seeds::files(good, bad)
}

/// YAML that becomes much of little, by aliases, merges, nesting and length.
fn bombs() -> Vec<Vec<u8>> {
    let mut doubled = String::from("a0: &a0 [1, 1]\n");
    let mut merged = String::from("a0: &a0 {k: v}\n");
    for index in 1..40 {
        let before = index - 1;
        doubled += &format!("a{index}: &a{index} [*a{before}, *a{before}]\n");
        merged += &format!("a{index}: &a{index} {{<<: [*a{before}, *a{before}], k{index}: v}}\n");
    }
    let long = format!("a: &a {}\nb: [{}1]\n", "x".repeat(900), "*a, ".repeat(95));
    let block: String = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let texts = [
        doubled,
        merged,
        long,
        block,
        format!("a: {}", "[".repeat(5000)),
        format!("a: {}", "{a: ".repeat(5000)),
        format!("a: {}\n", "- ".repeat(5000)),
        "a: ".repeat(5000),
        "? ".repeat(5000),
        "!".repeat(5000),
        "&a ".repeat(5000),
        format!("{}: 1\n", "k".repeat(5000)),
        format!("size: {}\n", "9".repeat(5000)),
        format!("size: \"{}\"\n", "\\L".repeat(5000)),
        "---\n".repeat(2000),
        "# x\n".repeat(5000),
    ];
    texts.map(String::into_bytes).to_vec()
}

/// The YAML files beside the authors' checkpoints.
pub fn authors() -> Seeds {
    let good = [
        vqgan("16", "32", "[1, 1]", "[16]"),
        transformer("codes", "12", "17", "SOSProvider", "sos_token: 0"),
        transformer("classes", "2", "300", "Labelator", "n_classes: 10"),
    ];
    let bad = [
        vqgan("0", "32", "[1, 1]", "[16]"),
        vqgan("1", "1048576", "[64, 64, 64, 64, 64, 64, 64, 64]", "[]"),
        vqgan("16", "32", "[]", "[]"),
        vqgan("16", "32", &format!("[{}1]", "1, ".repeat(63)), "[0]"),
        vqgan("16", "32", "[1]", &format!("[{}1]", "9, ".repeat(5000))),
        transformer(
            "codes",
            "4096",
            "18446744073709551615",
            "SOSProvider",
            "sos_token: 0",
        ),
        transformer(
            "codes",
            "4096",
            "16777216",
            "SOSProvider",
            "sos_token: 9223372036854775807",
        ),
        transformer(
            "classes",
            "1",
            "0",
            "Labelator",
            "n_classes: 18446744073709551615",
        ),
    ];
    let mut bad = bad.map(String::into_bytes).to_vec();
    bad.extend(bombs());
    Seeds::files(good.map(String::into_bytes).to_vec(), bad)
}

fn vqgan(resolution: &str, channels: &str, multipliers: &str, attention: &str) -> String {
    format!(
        "model:
  target: taming.models.vqgan.VQModel
  params:
    embed_dim: 4
    n_embed: 16
    ddconfig:
      double_z: false
      z_channels: 32
      resolution: {resolution}
      in_channels: 3
      out_ch: 3
      ch: {channels}
      ch_mult: {multipliers}
      num_res_blocks: 1
      attn_resolutions: {attention}
      dropout: 0.0
"
    )
}

/// A transformer over codes of 4 × 4, with the condition stage `stage`.
fn transformer(key: &str, layers: &str, block_size: &str, stage: &str, condition: &str) -> String {
    format!(
        "model:
  target: taming.models.cond_transformer.Net2NetTransformer
  params:
    cond_stage_key: {key}
    transformer_config:
      target: taming.modules.transformer.mingpt.GPT
      params: {{vocab_size: 64, block_size: {block_size}, n_layer: {layers}, n_head: 2, n_embd: 8}}
    first_stage_config:
      target: taming.models.vqgan.VQModel
      params:
        embed_dim: 4
        n_embed: 16
        ddconfig:
          {{z_channels: 32, resolution: 8, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 1], num_res_blocks: 1,
          attn_resolutions: []}}
    cond_stage_config:
      target: taming.modules.util.{stage}
      params: {{{condition}}}
"
    )
}

/// Lists of pictures. `a.png` and `b.png` lie beside the list.
pub fn lists() -> Seeds {
    let good = owned(&[
        "a.png\tcat\nb.png\tdog\n",
        "\u{feff}# pictures\r\n\r\nb.png\r\n  a.png  \r\n",
        "./a.png\n#b\n",
    ]);
    let mut bad = owned(&[
        "",
        "a.png\tx\ty\n",
        "list.txt\n",
        ".\n..\n/\n",
        "/dev/zero\n/dev/stdin\n",
        "a.png\0\n",
        "~/a.png\n",
        "a.png\t\u{202e}\u{7}\u{1b}[31m\n",
    ]);
    bad.push("a.png\n".repeat(3000).into_bytes());
    bad.push("x".repeat(100_000).into_bytes());
    bad.push("\t".repeat(10_000).into_bytes());
    bad.push(vec![0xFF; 1000]);
    Seeds::files(good, bad)
}

/// Tables of captions of `a.png` and `b.png`.
pub fn captions() -> Seeds {
    let good = owned(&[
        "a.png\tone\nb.png\ttwo\tx\n\n# three\na.png\tfour\n",
        "file,caption\r\na.png,\"one, \"\"two\"\"\"\r\n./b.png, \"th\nree\" ,x\r\n",
    ]);
    let mut bad = owned(&[
        "",
        "a.png\n",
        "a.png,one\n",
        "a.png,\"one\nb.png,two\n",
        "a.png,\"one\"two\nb.png,\"\"\"\n",
        "../a.png\tone\n/\ttwo\n\0\tthree\n",
    ]);
    bad.push("a.png,x\n".repeat(5000).into_bytes());
    bad.push(",".repeat(10_000).into_bytes());
    bad.push("\"".repeat(10_001).into_bytes());
    bad.push("\n".repeat(10_000).into_bytes());
    bad.push(vec![0xFF; 1000]);
    Seeds::files(good, bad)
}

/// Tokenizers of text encoders.
pub fn tokenizers() -> Seeds {
    let with = |pointer: &str, value: Value| {
        let mut file = tiny::tokenizer();
        if let Some(place) = file.pointer_mut(pointer) {
            *place = value;
        }
        file.to_string().into_bytes()
    };
    let good = vec![
        tiny::tokenizer().to_string().into_bytes(),
        with("/model/merges", json!([["l", "l"], ["▁", "▁"]])),
    ];
    let step = json!({"type": "Prepend", "prepend": "a"});
    let mut bad = owned(&["", "{}", "[]", "null", "{\"version\":\"1.0\"}"]);
    bad.extend([
        with("/model/merges", json!(vec![""; 10_000])),
        with("/model/merges", json!([vec![0; 10_000]])),
        with("/model/vocab", json!({"": u32::MAX})),
        with("/model/vocab/h", json!(u32::MAX)),
        with("/model/vocab/l", json!(260)),
        with("/normalizer/normalizers", json!(vec![step; 3000])),
        with("/added_tokens/0/content", json!("a".repeat(10_000))),
        with("/added_tokens/2/content", json!("l")),
        format!("{{\"version\":\"1.0\",\"model\":{}", "[".repeat(10_000)).into_bytes(),
    ]);
    Seeds::files(good, bad)
}

/// Logs of runs.
pub fn logs() -> Seeds {
    let line = |step: u32| format!("{{\"split\":\"train\",\"step\":{step},\"total_loss\":0.5}}\n");
    let good: String = (1..9).map(line).collect();
    let mut bad = owned(&[
        "",
        "\0",
        "{}\n[]\n1\n",
        "{\"step\":1",
        "{\"step\":18446744073709551616}\n",
    ]);
    bad.push("[".repeat(10_000).into_bytes());
    bad.push(format!("{{\"step\":1,\"a\":[{}0]}}", "0,".repeat(50_000)).into_bytes());
    bad.push("\n".repeat(10_000).into_bytes());
    Seeds::files(vec![good.into_bytes()], bad)
}
