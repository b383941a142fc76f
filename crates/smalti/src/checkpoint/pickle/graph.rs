//! The objects a pickle describes, in one flat table. Containers hold the indices of their members, so that sharing,
//! cycles and nesting of any depth cost no recursion, neither when the graph is walked nor when it is dropped.

use std::borrow::Cow;

/// Where a node lies in its [`Graph`].
pub type NodeId = usize;

// One-byte opcodes make these values; each is one node however often it occurs.
pub const NONE: NodeId = 0;
pub const TRUE: NodeId = 1;
pub const FALSE: NodeId = 2;
pub const EMPTY_TUPLE: NodeId = 3;

/// The most nodes of a graph. The largest checkpoints have some hundred thousand; the bound keeps a hostile file of a
/// gigabyte of brackets from asking for fifty times as much memory.
pub const MAX_NODES: usize = 1 << 24;

/// The most dimensions a shape may have; it is PyTorch's and numpy's limit too.
const MAX_RANK: usize = 64;

/// One Python object.
#[derive(Debug)]
pub enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: little-endian two's complement.
    Long(&'a [u8]),
    Float(f64),
    /// A string; also a Python 2 byte string that is ASCII.
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<NodeId>),
    Tuple(Vec<NodeId>),
    /// A set or frozenset. Its members are not kept: nobody stores weights in one.
    Set,
    Dict(Vec<(NodeId, NodeId)>),
    /// A class or function, by name only. Both ids are of [`Node::Text`].
    Global {
        module: NodeId,
        name: NodeId,
    },
    /// A class known only to the registry of the program that wrote the pickle.
    Extension,
    Object(Box<Object>),
    /// Something kept outside the pickle (a tensor's storage), by the id the writer gave it.
    Persistent(NodeId),
}

/// What the pickle wants made by calling `callee` with `args`, and done to the result. Nothing of it is ever done.
#[derive(Debug)]
pub struct Object {
    pub callee: NodeId,
    pub args: NodeId,
    /// The argument of `__setstate__`, or the attributes.
    pub state: Option<NodeId>,
    /// What is appended, for subclasses of list and the like.
    pub items: Vec<NodeId>,
    /// The items set, for subclasses of dict.
    pub pairs: Vec<(NodeId, NodeId)>,
}

impl Node<'_> {
    /// The result of a call.
    pub fn call(callee: NodeId, args: NodeId) -> Self {
        Self::Object(Box::new(Object {
            callee,
            args,
            state: None,
            items: Vec::new(),
            pairs: Vec::new(),
        }))
    }
}

/// A call of a named class or function, as found in a graph.
#[derive(Debug, Clone, Copy)]
pub struct Call<'g> {
    pub module: &'g str,
    pub name: &'g str,
    pub args: &'g [NodeId],
    pub state: Option<NodeId>,
}

/// All objects of a pickle.
#[derive(Debug)]
pub struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    /// The object that was pickled.
    pub root: NodeId,
}

impl<'a> Graph<'a> {
    /// A graph of the shared constants only.
    pub fn new() -> Self {
        let nodes = vec![
            Node::None,
            Node::Bool(true),
            Node::Bool(false),
            Node::Tuple(Vec::new()),
        ];
        Self { nodes, root: NONE }
    }

    /// Adds a node, unless there are too many.
    pub fn add(&mut self, node: Node<'a>) -> Result<NodeId, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!(
                "it holds more than {MAX_NODES} objects, which no checkpoint does"
            ));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The node of an id that [`Self::add`] returned: ids are never made from file contents.
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id]
    }

    /// As [`Self::node`], to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node<'a> {
        &mut self.nodes[id]
    }

    /// The text of a string.
    pub fn text(&self, id: NodeId) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer.
    pub fn int(&self, id: NodeId) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of an integer that counts something.
    pub fn count(&self, id: NodeId) -> Option<usize> {
        usize::try_from(self.int(id)?).ok()
    }

    /// The value of a truth value; protocol 0 knows only integers.
    pub fn truth(&self, id: NodeId) -> Option<bool> {
        match self.node(id) {
            Node::Bool(value) => Some(*value),
            Node::Int(value) => Some(*value != 0),
            _ => None,
        }
    }

    /// The members of a list or tuple.
    pub fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A sequence of at most 64 counts: a shape, or strides.
    pub fn dimensions(&self, id: NodeId) -> Option<Vec<usize>> {
        let items = self.sequence(id)?;
        if items.len() > MAX_RANK {
            return None;
        }
        items.iter().map(|&item| self.count(item)).collect()
    }

    /// Module and name of a class or function.
    pub fn global(&self, id: NodeId) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => Some((self.text(*module)?, self.text(*name)?)),
            _ => None,
        }
    }

    /// The call that makes an object, when it calls something that has a name.
    pub fn call(&self, id: NodeId) -> Option<Call<'_>> {
        let Node::Object(object) = self.node(id) else {
            return None;
        };
        let (module, name) = self.global(object.callee)?;
        Some(Call {
            module,
            name,
            args: self.sequence(object.args).unwrap_or_default(),
            state: object.state,
        })
    }

    /// Whether a node holds others.
    pub fn is_container(&self, id: NodeId) -> bool {
        matches!(
            self.node(id),
            Node::List(_) | Node::Tuple(_) | Node::Dict(_) | Node::Object(_)
        )
    }

    /// Whether a node is a dict, or an object that behaves as one.
    pub fn is_mapping(&self, id: NodeId) -> bool {
        match self.node(id) {
            Node::Dict(_) => true,
            Node::Object(object) => !object.pairs.is_empty() || self.is_mapping_class(object),
            _ => false,
        }
    }

    /// Whether an object is one of the dicts of Python's `collections`. What state these carry is attributes of the dict
    /// itself (PyTorch's `_metadata`), not contents.
    pub fn is_mapping_class(&self, object: &Object) -> bool {
        matches!(
            self.global(object.callee),
            Some(("collections", "OrderedDict" | "defaultdict" | "Counter"))
        )
    }

    /// What a dict of `collections` was constructed from: a dict or a sequence of pairs.
    pub fn source(&self, object: &Object) -> Option<NodeId> {
        if !self.is_mapping_class(object) {
            return None;
        }
        self.sequence(object.args)?.first().copied()
    }

    /// The pairs of a dict, or of a sequence of pairs.
    pub fn pairs(&self, id: NodeId) -> Vec<(NodeId, NodeId)> {
        match self.node(id) {
            Node::Dict(pairs) => pairs.clone(),
            Node::List(items) | Node::Tuple(items) => {
                let pair = |&item: &NodeId| match self.sequence(item) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                };
                items.iter().filter_map(pair).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The entries of a mapping.
    pub fn entries(&self, id: NodeId) -> Vec<(NodeId, NodeId)> {
        match self.node(id) {
            Node::Dict(pairs) => pairs.clone(),
            Node::Object(object) => {
                let source = self.source(object).map(|source| self.pairs(source));
                let mut entries = source.unwrap_or_default();
                entries.extend_from_slice(&object.pairs);
                entries
            }
            _ => Vec::new(),
        }
    }

    /// The value a mapping has under `key`; the last one, as in Python, if the key was set twice.
    pub fn entry(&self, id: NodeId, key: &str) -> Option<NodeId> {
        let entries = self.entries(id);
        let found = entries
            .iter()
            .rev()
            .find(|&&(name, _)| self.text(name) == Some(key));
        found.map(|&(_, value)| value)
    }
}

/// A name from a file, made fit for a one-line message.
pub fn short(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_key_counts() {
        let mut graph = Graph::new();
        let key = graph.add(Node::Text("key".into())).unwrap();
        let number = graph.add(Node::Int(3)).unwrap();
        let dict = graph
            .add(Node::Dict(vec![(key, NONE), (number, TRUE), (key, number)]))
            .unwrap();
        assert_eq!(graph.entry(dict, "key"), Some(number));
        assert_eq!(graph.entry(dict, "other"), None);
        assert_eq!(graph.entry(number, "key"), None);
    }

    #[test]
    fn shapes_are_checked() {
        let mut graph = Graph::new();
        let three = graph.add(Node::Int(3)).unwrap();
        let negative = graph.add(Node::Int(-1)).unwrap();
        let shape = graph.add(Node::Tuple(vec![three, three])).unwrap();
        let broken = graph.add(Node::List(vec![three, negative])).unwrap();
        let endless = graph.add(Node::Tuple(vec![three; MAX_RANK + 1])).unwrap();
        assert_eq!(graph.dimensions(shape), Some(vec![3, 3]));
        assert_eq!(graph.dimensions(EMPTY_TUPLE), Some(vec![]));
        for id in [broken, endless, three] {
            assert_eq!(graph.dimensions(id), None);
        }
    }
}
