//! The search of a pickled object for what is of use: tensors, arrays and numbers, each by its path through dicts, lists
//! and attributes. It visits every container once, so cycles end and shared parts are not searched again, and it keeps its
//! own stack.

use super::super::budget::Budget;
use super::super::pickle::{Graph, Node, NodeId, Object};
use super::super::{numpy, torch};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest name a tensor may have. Deep nesting of long keys could otherwise multiply the file's size.
const MAX_NAME: usize = 4096;

/// Whether an object is a tensor or an array.
pub fn is_tensor(graph: &Graph<'_>, id: NodeId) -> bool {
    graph
        .call(id)
        .is_some_and(|call| torch::is_tensor(&call) || numpy::is_array(&call))
}

/// What was found below some object.
pub struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    /// The tree of paths; the first is the empty one.
    paths: Vec<Path>,
    seen: Vec<bool>,
    /// Objects still to be visited, with their paths; the next is the last.
    pending: Vec<(NodeId, PathId)>,
    tensors: Vec<(PathId, NodeId)>,
    numbers: Vec<(PathId, f64)>,
}

type PathId = usize;

/// A path: another one, and one step further.
struct Path {
    parent: PathId,
    step: Step,
    /// Bytes of the path's name, or a few more.
    length: usize,
}

enum Step {
    Start,
    Key(NodeId),
    Index(usize),
}

impl<'g, 'a> Walk<'g, 'a> {
    /// Searches `start` and all below it.
    pub fn new(graph: &'g Graph<'a>, start: NodeId) -> Self {
        let origin = Path {
            parent: 0,
            step: Step::Start,
            length: 0,
        };
        let mut walk = Self {
            graph,
            paths: vec![origin],
            seen: vec![false; graph.size()],
            pending: vec![(start, 0)],
            tensors: Vec::new(),
            numbers: Vec::new(),
        };
        while let Some((id, path)) = walk.pending.pop() {
            walk.visit(id, path);
        }
        walk
    }

    /// All tensors and arrays, in the order of the pickle.
    pub fn tensors(&self, budget: &mut Budget) -> Result<Vec<(String, NodeId)>, String> {
        let mut named = Vec::with_capacity(self.tensors.len());
        for &(path, id) in &self.tensors {
            named.push((self.name(path, budget)?, id));
        }
        Ok(named)
    }

    /// All numbers that are values of dicts. Those in lists are mere data.
    pub fn numbers(&self, budget: &mut Budget) -> Result<BTreeMap<String, f64>, String> {
        let mut named = BTreeMap::new();
        for &(path, number) in &self.numbers {
            named.insert(self.name(path, budget)?, number);
        }
        Ok(named)
    }

    fn visit(&mut self, id: NodeId, path: PathId) {
        let graph = self.graph;
        if is_tensor(graph, id) {
            self.tensors.push((path, id));
            return;
        }
        if self.was_seen(id) {
            return;
        }
        let first = self.pending.len();
        match graph.node(id) {
            Node::Dict(pairs) => self.visit_pairs(pairs, path),
            Node::List(items) | Node::Tuple(items) => self.visit_items(items, path),
            Node::Object(object) => self.visit_object(object, path),
            _ => {}
        }
        // The stack gives back the last first.
        self.pending[first..].reverse();
    }

    fn visit_object(&mut self, object: &Object, path: PathId) {
        let graph = self.graph;
        if let Some(source) = graph.source(object)
            && !self.was_seen(source)
        {
            self.visit_pairs(&graph.pairs(source), path);
        }
        self.visit_pairs(&object.pairs, path);
        self.visit_items(&object.items, path);
        if let Some(state) = object.state
            && !graph.is_mapping_class(object)
        {
            self.pending.push((state, path));
        }
    }

    fn visit_pairs(&mut self, pairs: &[(NodeId, NodeId)], path: PathId) {
        for &(key, value) in pairs {
            let length = match self.graph.node(key) {
                Node::Text(key) => key.len(),
                Node::Int(_) => 20,
                _ => continue,
            };
            if let Some(number) = number(self.graph, value) {
                let path = self.extend(path, Step::Key(key), length);
                self.numbers.push((path, number));
            } else if self.graph.is_container(value) {
                let path = self.extend(path, Step::Key(key), length);
                self.pending.push((value, path));
            }
        }
    }

    fn visit_items(&mut self, items: &[NodeId], path: PathId) {
        for (index, &item) in items.iter().enumerate() {
            if self.graph.is_container(item) {
                let path = self.extend(path, Step::Index(index), 20);
                self.pending.push((item, path));
            }
        }
    }

    fn was_seen(&mut self, id: NodeId) -> bool {
        std::mem::replace(&mut self.seen[id], true)
    }

    fn extend(&mut self, parent: PathId, step: Step, length: usize) -> PathId {
        let length = self.paths[parent].length.saturating_add(length + 1);
        self.paths.push(Path {
            parent,
            step,
            length,
        });
        self.paths.len() - 1
    }

    /// The name of a path, its steps separated by dots.
    fn name(&self, path: PathId, budget: &mut Budget) -> Result<String, String> {
        let mut path = &self.paths[path];
        if path.length > MAX_NAME {
            return Err(format!(
                "a tensor or number in it has a name of {} bytes",
                path.length
            ));
        }
        budget
            .spend(path.length)
            .map_err(|error| format!("it {error}"))?;
        let mut steps = Vec::new();
        loop {
            match path.step {
                Step::Start => break,
                Step::Key(key) => steps.push(key_name(self.graph, key)),
                Step::Index(index) => steps.push(index.to_string().into()),
            }
            path = &self.paths[path.parent];
        }
        steps.reverse();
        Ok(steps.join("."))
    }
}

fn key_name<'g>(graph: &'g Graph<'_>, key: NodeId) -> Cow<'g, str> {
    match graph.node(key) {
        Node::Text(key) => Cow::Borrowed(key),
        Node::Int(key) => key.to_string().into(),
        _ => Cow::Borrowed(""),
    }
}

fn number(graph: &Graph<'_>, id: NodeId) -> Option<f64> {
    match graph.node(id) {
        Node::Int(value) => Some(*value as f64),
        Node::Float(value) => Some(*value),
        Node::Bool(value) => Some(f64::from(*value)),
        _ => numpy::scalar(graph, id),
    }
}
