//! A reader of Python pickles, protocols 0 to 5, that executes nothing: a class is its name, and a call is an [`Object`]
//! holding what was called and with what. Giving such objects a meaning is left to the readers of tensors and arrays.
//!
//! It is made for hostile input. There is no recursion, so nesting of any depth is harmless; no length is believed before
//! that many bytes are there; and the memory taken grows with the bytes read, whatever they say.

mod graph;
mod input;
pub(super) mod opcode;
mod stack;
mod text;

pub use graph::{Call, Graph, Node, NodeId, Object, short};

use graph::{EMPTY_TUPLE, FALSE, MAX_NODES, NONE, TRUE};
use input::Input;
use opcode as op;
use stack::Stack;
use std::borrow::Cow;
use std::collections::HashMap;

/// The newest protocol there is.
const NEWEST_PROTOCOL: u8 = 5;

/// A pickle read to its end.
#[derive(Debug)]
pub struct Parsed<'a> {
    pub graph: Graph<'a>,
    /// The byte after its last one.
    pub end: usize,
}

/// Reads the pickle that begins at byte `start` of `input`.
///
/// # Errors
/// What is wrong, and at which byte of `input`.
pub fn parse(input: &[u8], start: usize) -> Result<Parsed<'_>, String> {
    let mut machine = Machine {
        input: Input::new(input, start),
        graph: Graph::new(),
        stack: Stack::default(),
        memo: HashMap::new(),
    };
    loop {
        let at = machine.input.at();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                let (mut graph, end) = (machine.graph, machine.input.at());
                graph.root = root;
                return Ok(Parsed { graph, end });
            }
            Err(message) => return Err(format!("{message} (pickle opcode at byte {at})")),
        }
    }
}

/// The stack machine a pickle is a program for.
struct Machine<'a> {
    input: Input<'a>,
    graph: Graph<'a>,
    stack: Stack,
    /// Objects remembered for reuse. The indices are the file's choice, hence no `Vec`.
    memo: HashMap<usize, NodeId>,
}

/// The methods that take an opcode return whether it was one of theirs.
impl<'a> Machine<'a> {
    /// Executes one opcode; the last one yields the pickled object.
    fn step(&mut self) -> Result<Option<NodeId>, String> {
        let [opcode] = self.input.array::<1>()?;
        match opcode {
            op::STOP => return self.stack.pop().map(Some),
            op::PROTO => self.protocol()?,
            op::FRAME => self.frame()?,
            op::MARK => self.stack.mark()?,
            op::POP => self.stack.discard()?,
            op::POP_MARK => drop(self.stack.pop_to_mark()?),
            op::DUP => self.stack.push(self.stack.top()?)?,
            _ => {
                let known = self.number(opcode)?
                    || self.string(opcode)?
                    || self.container(opcode)?
                    || self.addition(opcode)?
                    || self.memory(opcode)?
                    || self.object(opcode)?;
                if !known {
                    return Err(format!("0x{opcode:02x} is not a pickle opcode"));
                }
            }
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<(), String> {
        let [version] = self.input.array::<1>()?;
        if version > NEWEST_PROTOCOL {
            return Err(format!("pickle protocol {version} is not known"));
        }
        Ok(())
    }

    /// Frames only help readers of streams, but one that is too long tells of a truncated file.
    fn frame(&mut self) -> Result<(), String> {
        let length = self.input.length::<8>()?;
        // What the frame holds are opcodes, still to be read.
        self.input.clone().take(length)?;
        Ok(())
    }

    fn number(&mut self, opcode: u8) -> Result<bool, String> {
        let node = match opcode {
            op::NONE => return self.push(NONE),
            op::NEWTRUE => return self.push(TRUE),
            op::NEWFALSE => return self.push(FALSE),
            op::INT => match self.input.line()? {
                b"00" => return self.push(FALSE),
                b"01" => return self.push(TRUE),
                line => text::integer(line)?,
            },
            op::BININT => Node::Int(i32::from_le_bytes(self.input.array()?).into()),
            op::BININT1 => Node::Int(u8::from_le_bytes(self.input.array()?).into()),
            op::BININT2 => Node::Int(u16::from_le_bytes(self.input.array()?).into()),
            op::LONG => {
                let line = self.input.line()?;
                text::integer(line.strip_suffix(b"L").unwrap_or(line))?
            }
            op::LONG1 => long(self.input.block::<1>()?),
            op::LONG4 => long(self.input.block::<4>()?),
            op::FLOAT => text::float(self.input.line()?)?,
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.input.array()?)),
            _ => return Ok(false),
        };
        self.push_new(node)
    }

    fn string(&mut self, opcode: u8) -> Result<bool, String> {
        let node = match opcode {
            op::STRING => byte_string(Cow::Owned(text::quoted(self.input.line()?)?)),
            op::BINSTRING => byte_string(Cow::Borrowed(self.input.block::<4>()?)),
            op::SHORT_BINSTRING => byte_string(Cow::Borrowed(self.input.block::<1>()?)),
            op::UNICODE => Node::Text(Cow::Owned(text::raw_unicode(self.input.line()?))),
            op::BINUNICODE => Node::Text(String::from_utf8_lossy(self.input.block::<4>()?)),
            op::SHORT_BINUNICODE => Node::Text(String::from_utf8_lossy(self.input.block::<1>()?)),
            op::BINUNICODE8 => Node::Text(String::from_utf8_lossy(self.input.block::<8>()?)),
            op::BINBYTES => Node::Bytes(Cow::Borrowed(self.input.block::<4>()?)),
            op::SHORT_BINBYTES => Node::Bytes(Cow::Borrowed(self.input.block::<1>()?)),
            op::BINBYTES8 | op::BYTEARRAY8 => Node::Bytes(Cow::Borrowed(self.input.block::<8>()?)),
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                return Err("it keeps data in buffers outside the file".into());
            }
            _ => return Ok(false),
        };
        self.push_new(node)
    }

    fn container(&mut self, opcode: u8) -> Result<bool, String> {
        let node = match opcode {
            op::EMPTY_TUPLE => return self.push(EMPTY_TUPLE),
            op::TUPLE => Node::Tuple(self.stack.pop_to_mark()?),
            op::TUPLE1 => Node::Tuple(self.stack.pop_last(1)?),
            op::TUPLE2 => Node::Tuple(self.stack.pop_last(2)?),
            op::TUPLE3 => Node::Tuple(self.stack.pop_last(3)?),
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::LIST => Node::List(self.stack.pop_to_mark()?),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::DICT => Node::Dict(pair_up(&self.stack.pop_to_mark()?)?),
            op::EMPTY_SET => Node::Set,
            op::FROZENSET => {
                self.stack.pop_to_mark()?;
                Node::Set
            }
            _ => return Ok(false),
        };
        self.push_new(node)
    }

    /// Opcodes that add to the container on top of the stack.
    fn addition(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
            op::APPEND => {
                let item = self.stack.pop()?;
                self.append(&[item])
            }
            op::APPENDS => {
                let items = self.stack.pop_to_mark()?;
                self.append(&items)
            }
            op::SETITEM => {
                let items = self.stack.pop_last(2)?;
                self.set_items(&items)
            }
            op::SETITEMS => {
                let items = self.stack.pop_to_mark()?;
                self.set_items(&items)
            }
            op::ADDITEMS => {
                self.stack.pop_to_mark()?;
                self.stack.top()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn append(&mut self, added: &[NodeId]) -> Result<bool, String> {
        let target = self.stack.top()?;
        match self.graph.node_mut(target) {
            Node::List(items) => items.extend_from_slice(added),
            Node::Object(object) => object.items.extend_from_slice(added),
            _ => return Err("something is appended to what is not a list".into()),
        }
        Ok(true)
    }

    fn set_items(&mut self, added: &[NodeId]) -> Result<bool, String> {
        let added = pair_up(added)?;
        let target = self.stack.top()?;
        match self.graph.node_mut(target) {
            Node::Dict(pairs) => pairs.extend(added),
            Node::Object(object) => object.pairs.extend(added),
            _ => return Err("an item is set in what is not a dict".into()),
        }
        Ok(true)
    }

    fn memory(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
            op::PUT => {
                let index = text::index(self.input.line()?)?;
                self.remember(index)
            }
            op::BINPUT => {
                let index = self.input.length::<1>()?;
                self.remember(index)
            }
            op::LONG_BINPUT => {
                let index = self.input.length::<4>()?;
                self.remember(index)
            }
            op::MEMOIZE => {
                let index = self.memo.len();
                self.remember(index)
            }
            op::GET => {
                let index = text::index(self.input.line()?)?;
                self.recall(index)
            }
            op::BINGET => {
                let index = self.input.length::<1>()?;
                self.recall(index)
            }
            op::LONG_BINGET => {
                let index = self.input.length::<4>()?;
                self.recall(index)
            }
            _ => Ok(false),
        }
    }

    fn remember(&mut self, index: usize) -> Result<bool, String> {
        let top = self.stack.top()?;
        if self.memo.len() >= MAX_NODES {
            return Err("it remembers more objects than any checkpoint does".into());
        }
        self.memo.insert(index, top);
        Ok(true)
    }

    fn recall(&mut self, index: usize) -> Result<bool, String> {
        match self.memo.get(&index) {
            Some(&id) => self.push(id),
            None => Err(format!("it recalls object {index}, which it never stored")),
        }
    }

    fn object(&mut self, opcode: u8) -> Result<bool, String> {
        let node = match opcode {
            op::GLOBAL => self.global()?,
            op::STACK_GLOBAL => self.stack_global()?,
            op::REDUCE | op::NEWOBJ => {
                let args = self.stack.pop()?;
                Node::call(self.stack.pop()?, args)
            }
            op::NEWOBJ_EX => {
                let _keywords = self.stack.pop()?;
                let args = self.stack.pop()?;
                Node::call(self.stack.pop()?, args)
            }
            op::INST => {
                let class = self.global()?;
                let class = self.graph.add(class)?;
                let args = Node::Tuple(self.stack.pop_to_mark()?);
                Node::call(class, self.graph.add(args)?)
            }
            op::OBJ => self.old_instance()?,
            op::BUILD => return self.build(),
            op::PERSID => Node::Persistent(self.text_line()?),
            op::BINPERSID => Node::Persistent(self.stack.pop()?),
            op::EXT1 => self.extension(1)?,
            op::EXT2 => self.extension(2)?,
            op::EXT4 => self.extension(4)?,
            _ => return Ok(false),
        };
        self.push_new(node)
    }

    fn global(&mut self) -> Result<Node<'a>, String> {
        let module = self.text_line()?;
        let name = self.text_line()?;
        Ok(Node::Global { module, name })
    }

    fn stack_global(&mut self) -> Result<Node<'a>, String> {
        let name = self.stack.pop()?;
        let module = self.stack.pop()?;
        if self.graph.text(module).is_none() || self.graph.text(name).is_none() {
            return Err("the name of a class is not text".into());
        }
        Ok(Node::Global { module, name })
    }

    /// An object as protocol 1 makes it: the class and the arguments lie above a mark.
    fn old_instance(&mut self) -> Result<Node<'a>, String> {
        let parts = self.stack.pop_to_mark()?;
        let Some((&class, args)) = parts.split_first() else {
            return Err("an object has no class".into());
        };
        let args = self.graph.add(Node::Tuple(args.to_vec()))?;
        Ok(Node::call(class, args))
    }

    fn build(&mut self) -> Result<bool, String> {
        let state = self.stack.pop()?;
        let target = self.stack.top()?;
        match self.graph.node_mut(target) {
            Node::Object(object) => object.state = Some(state),
            _ => return Err("a state is given to what is not an object".into()),
        }
        Ok(true)
    }

    fn extension(&mut self, bytes: usize) -> Result<Node<'a>, String> {
        self.input.take(bytes)?;
        Ok(Node::Extension)
    }

    fn text_line(&mut self) -> Result<NodeId, String> {
        let line = self.input.line()?;
        self.graph.add(Node::Text(String::from_utf8_lossy(line)))
    }

    fn push(&mut self, id: NodeId) -> Result<bool, String> {
        self.stack.push(id)?;
        Ok(true)
    }

    fn push_new(&mut self, node: Node<'a>) -> Result<bool, String> {
        let id = self.graph.add(node)?;
        self.push(id)
    }
}

/// An integer in little-endian two's complement.
fn long(bytes: &[u8]) -> Node<'_> {
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    if bytes.len() > wide.len() {
        return Node::Long(bytes);
    }
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    Node::Int(i64::from_le_bytes(wide))
}

/// A Python 2 string, which may be text or data. As ASCII it is the same either way.
fn byte_string(bytes: Cow<'_, [u8]>) -> Node<'_> {
    match bytes {
        Cow::Borrowed(bytes) if bytes.is_ascii() => Node::Text(String::from_utf8_lossy(bytes)),
        Cow::Owned(bytes) if bytes.is_ascii() => {
            Node::Text(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
        }
        bytes => Node::Bytes(bytes),
    }
}

fn pair_up(items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a dict has a key without a value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

#[cfg(test)]
pub mod samples;

#[cfg(test)]
mod tests;
