//! The names of tensors: finding a tokenizer among what else a file holds, and the steps of a path.

use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};

/// The parts of a tokenizer.
const PARTS: [&str; 5] = [
    "encoder.",
    "decoder.",
    "quantize.",
    "quant_conv.",
    "post_quant_conv.",
];

/// Every encoder begins with this.
const FIRST: &str = "encoder.conv_in.weight";

/// Whether some tensor has this path, alone or at the end of a longer one.
pub fn has(tensors: &TensorMap, path: &str) -> bool {
    tensors.keys().any(|key| before(key, path).is_some())
}

/// What stands before a path in a key, up to and with a dot.
fn before<'a>(key: &'a str, path: &str) -> Option<&'a str> {
    key.strip_suffix(path)
        .filter(|before| before.is_empty() || before.ends_with('.'))
}

/// What stands before a tokenizer's keys: nothing, `first_stage_model.`, or what some wrapper added. The tokenizer of a
/// transformer's condition is not looked for.
///
/// # Errors
/// No tokenizer, or several.
pub fn prefix(tensors: &TensorMap) -> Result<String> {
    let mut found = tensors
        .keys()
        .filter_map(|key| before(key, FIRST))
        .filter(|before| !before.starts_with("cond_stage_model."));
    let Some(first) = found.next() else {
        return Err(Error::input(format!(
            "`{FIRST}` is missing: there is no tokenizer in it"
        )));
    };
    match found.next() {
        None => Ok(first.to_string()),
        Some(second) => Err(Error::input(format!(
            "there are several networks in it, `{first}{FIRST}` and `{second}{FIRST}`: save the one you want alone"
        ))),
    }
}

/// Whether a key is of the tokenizer whose keys begin with `prefix`.
pub fn is_part(key: &str, prefix: &str) -> bool {
    let own = key.strip_prefix(prefix);
    own.is_some_and(|own| PARTS.iter().any(|part| own.starts_with(part)))
}

/// The tokenizer's tensors, without what stands before their names. The perceptual network, the discriminator and all
/// else that training keeps beside them is left out.
pub fn take(tensors: TensorMap, prefix: &str) -> TensorMap {
    tensors
        .into_iter()
        .filter(|(key, _)| is_part(key, prefix))
        .map(|(key, tensor)| (key[prefix.len()..].to_string(), tensor))
        .collect()
}

/// The tensors of the tokenizer in a file, under the names that `rename` gives them.
///
/// # Errors
/// See [`prefix`].
pub fn renamed(
    tensors: TensorMap,
    rename: impl Fn(&TensorMap, &str) -> String,
) -> Result<TensorMap> {
    let prefix = prefix(&tensors)?;
    let own = take(tensors, &prefix);
    let names: Vec<String> = own.keys().map(|key| rename(&own, key)).collect();
    Ok(names.into_iter().zip(own.into_values()).collect())
}

/// How many entries a list has whose name is `list`, dot included.
pub fn count(tensors: &TensorMap, list: &str) -> usize {
    let has = |index: usize| {
        let entry = format!("{list}{index}.");
        let next = tensors.range(entry.clone()..).next();
        next.is_some_and(|(key, _)| key.starts_with(&entry))
    };
    (0..).take_while(|&index| has(index)).count()
}

/// The index of a level where the other end is 0: the authors count both networks from the highest resolution.
pub fn reversed(level: &str, levels: usize) -> String {
    let index = level.parse::<usize>().ok();
    let index = index.and_then(|level| levels.checked_sub(level)?.checked_sub(1));
    index.map_or_else(|| level.to_string(), |index| index.to_string())
}
