//! PyTorch's tensors: the calls in a pickle that would rebuild them, read as views into storages kept outside the pickle.
//! Where the storages lie depends on the file: in a zip archive, or behind the pickle in files before PyTorch 1.6.

mod archive;
mod legacy;
mod write;

pub use archive::Archive;
pub use legacy::Legacy;
pub use write::write_torch;

use super::budget::Budget;
use super::element::{Element, Layout};
use super::numpy;
use super::pickle::{Call, Graph, Node, NodeId, short};
use super::tensor::TensorMap;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How many wrappers (a parameter around a tensor, a subclass around that) are looked through. A hostile file may close
/// a circle of them.
const MAX_WRAPPERS: usize = 8;

/// PyTorch's storage keys are numbers.
const MAX_STORAGE_KEY: usize = 256;

/// Whether a call makes a tensor, or something around one that PyTorch alone could rebuild.
pub fn is_tensor(call: &Call<'_>) -> bool {
    match call.module {
        "torch._utils" => call.name.starts_with("_rebuild_"),
        "torch._tensor" | "torch.tensor" => call.name.starts_with("_rebuild_from_type"),
        "torch.nn.parameter" => call.name == "Parameter",
        "torch.autograd.variable" => call.name == "Variable",
        _ => false,
    }
}

/// Where a graph's tensors lie in their file.
pub struct Storages<L> {
    /// Gives the bytes of a storage, by its key and its length in bytes.
    pub load: L,
    pub big_endian: bool,
}

/// Reads the named tensors and numpy arrays of a graph. Each storage is loaded once and dropped before the next.
///
/// # Errors
/// The first one that cannot be read, by name.
pub fn read<'a, L>(
    graph: &Graph<'_>,
    wanted: &[(String, NodeId)],
    mut storages: Storages<L>,
    budget: &mut Budget,
) -> Result<TensorMap, String>
where
    L: FnMut(&str, usize) -> Result<Cow<'a, [u8]>, String>,
{
    let mut tensors = TensorMap::new();
    let mut views: BTreeMap<&str, Vec<(&String, View<'_>)>> = BTreeMap::new();
    for (name, id) in wanted {
        if graph.call(*id).is_some_and(|call| numpy::is_array(&call)) {
            let array = numpy::array(graph, *id, budget);
            tensors.insert(name.clone(), array.map_err(|error| of(name, &error))?);
        } else {
            let view = view(graph, *id).map_err(|error| of(name, &error))?;
            let described = budget.spend(view.layout.description());
            described.map_err(|error| of(name, &error))?;
            views
                .entry(view.storage.key)
                .or_default()
                .push((name, view));
        }
    }
    for (key, views) in views {
        let sizes = views.iter().map(|(_, view)| view.storage.bytes);
        let size = sizes.max().unwrap_or_default();
        let bytes = (storages.load)(key, size)?;
        for (name, view) in views {
            let tensor = budget
                .spend(view.layout.count())
                .and_then(|()| view.layout.gather(&bytes, storages.big_endian));
            tensors.insert(name.clone(), tensor.map_err(|error| of(name, &error))?);
        }
    }
    Ok(tensors)
}

fn of(name: &str, error: &str) -> String {
    format!("tensor {name:?} {error}")
}

/// A tensor as a view into a storage.
struct View<'g> {
    storage: Storage<'g>,
    layout: Layout,
}

/// A storage, as the persistent id of a pickle describes it.
pub struct Storage<'g> {
    pub key: &'g str,
    /// Nothing for an untyped storage, which counts bytes.
    element: Option<Element>,
    bytes: usize,
    /// Where the storage itself begins within what is kept under its key, in elements; only old files have such.
    offset: usize,
}

impl<'g> Storage<'g> {
    /// Reads a persistent id: `("storage", class, key, location, number of elements)`, and in legacy files what part of a
    /// larger storage it is, `(key, offset, size)` or `None`.
    pub fn parse(graph: &'g Graph<'_>, id: NodeId) -> Result<Self, String> {
        let Node::Persistent(id) = graph.node(id) else {
            return Err("has its numbers inside the pickle; save it with torch.save".into());
        };
        let Some(&[kind, class, key, _, count, ref part @ ..]) = graph.sequence(*id) else {
            return Err("has a storage that is not described".into());
        };
        let key = graph.text(key).filter(|key| key.len() <= MAX_STORAGE_KEY);
        let (Some("storage"), Some((_, class)), Some(key), Some(count)) = (
            graph.text(kind),
            graph.global(class),
            key,
            graph.count(count),
        ) else {
            return Err("has a storage described in an unknown form".into());
        };
        let element = storage_element(class)?;
        let part = part.first().and_then(|&part| graph.sequence(part));
        let offset = match part {
            Some(&[_, offset, _]) => graph.count(offset).ok_or("has a broken storage view")?,
            _ => 0,
        };
        let bytes = count.checked_mul(element.map_or(1, Element::size));
        Ok(Self {
            key,
            element,
            bytes: bytes.ok_or("has a storage of impossible size")?,
            offset,
        })
    }

    /// Bytes of the unit the storage is counted in.
    pub fn unit(&self) -> usize {
        self.element.map_or(1, Element::size)
    }
}

/// Looks through wrappers for the call that makes the tensor itself.
fn view<'g>(graph: &'g Graph<'_>, id: NodeId) -> Result<View<'g>, String> {
    let mut call = graph.call(id).ok_or("is not a tensor")?;
    for _ in 0..MAX_WRAPPERS {
        let inner = match (call.module, call.name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                return rebuilt(graph, call.args, None);
            }
            ("torch._utils", "_rebuild_tensor_v3") => {
                let element = call.args.get(6).and_then(|&dtype| graph.global(dtype));
                let (_, name) = element.ok_or("has no element type")?;
                return rebuilt(graph, call.args, Some(named_element(name)?));
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter" | "torch.autograd.variable", _) => {
                call.args.first().and_then(|&data| graph.call(data))
            }
            ("torch._tensor" | "torch.tensor", _) => deferred(graph, call.args),
            (module, name) => {
                let (module, name) = (short(module), short(name));
                return Err(format!("is made by {module}.{name}, which cannot be read"));
            }
        };
        call = inner.ok_or("is a wrapper around no tensor")?;
    }
    Err("is wrapped too many times".into())
}

/// The call that `_rebuild_from_type_v2(function, class, arguments, state)` would make.
fn deferred<'g>(graph: &'g Graph<'_>, args: &'g [NodeId]) -> Option<Call<'g>> {
    let &[function, _, args, ..] = args else {
        return None;
    };
    let (module, name) = graph.global(function)?;
    Some(Call {
        module,
        name,
        args: graph.sequence(args)?,
        state: None,
    })
}

/// The view of `_rebuild_tensor(storage, offset, size, stride, …)`, of the given element type or the storage's.
fn rebuilt<'g>(
    graph: &'g Graph<'_>,
    args: &[NodeId],
    element: Option<Element>,
) -> Result<View<'g>, String> {
    let &[storage, offset, shape, strides, ..] = args else {
        return Err("is not described in full".into());
    };
    let storage = Storage::parse(graph, storage)?;
    let element = element.or(storage.element);
    let element = element.ok_or("has an untyped storage and no element type")?;
    let offset = graph.count(offset);
    let offset = offset.and_then(|offset| offset.checked_add(storage.offset));
    let layout = Layout::strided(
        element,
        offset.ok_or("has no valid offset")?,
        graph.dimensions(shape).ok_or("has no valid shape")?,
        graph.dimensions(strides).ok_or("has no valid strides")?,
    )?;
    Ok(View { storage, layout })
}

fn storage_element(class: &str) -> Result<Option<Element>, String> {
    let element = match class {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::BF16,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "CharStorage" => Element::I8,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        "UntypedStorage" => return Ok(None),
        other => return Err(format!("has a {}, which cannot be read", short(other))),
    };
    Ok(Some(element))
}

fn named_element(dtype: &str) -> Result<Element, String> {
    match dtype {
        "float64" | "double" => Ok(Element::F64),
        "float32" | "float" => Ok(Element::F32),
        "float16" | "half" => Ok(Element::F16),
        "bfloat16" => Ok(Element::BF16),
        "int64" | "long" => Ok(Element::I64),
        "int32" | "int" => Ok(Element::I32),
        "int16" | "short" => Ok(Element::I16),
        "int8" => Ok(Element::I8),
        "uint8" => Ok(Element::U8),
        "uint16" => Ok(Element::U16),
        "uint32" => Ok(Element::U32),
        "bool" => Ok(Element::Bool),
        other => Err(format!(
            "has elements of type {}, which cannot be read",
            short(other)
        )),
    }
}

#[cfg(test)]
mod tests;
