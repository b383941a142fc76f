//! The stack of a pickle machine. Marks divide it: nothing below the last one can be reached.

use super::graph::{MAX_NODES, NodeId};

/// A stack of objects.
#[derive(Debug, Default)]
pub struct Stack {
    ids: Vec<NodeId>,
    /// How many objects lie below each mark.
    marks: Vec<usize>,
}

impl Stack {
    /// Puts an object on top, unless there are too many: one byte of a file can put one there.
    pub fn push(&mut self, id: NodeId) -> Result<(), String> {
        room(&self.ids)?;
        self.ids.push(id);
        Ok(())
    }

    /// Puts a mark on top, unless there are too many.
    pub fn mark(&mut self) -> Result<(), String> {
        room(&self.marks)?;
        self.marks.push(self.ids.len());
        Ok(())
    }

    /// The object on top.
    pub fn top(&self) -> Result<NodeId, String> {
        match self.ids.last() {
            Some(&id) if self.above_mark() > 0 => Ok(id),
            _ => Err("its stack is empty where something is needed".into()),
        }
    }

    /// Takes the object on top off.
    pub fn pop(&mut self) -> Result<NodeId, String> {
        let top = self.top()?;
        self.ids.pop();
        Ok(top)
    }

    /// Takes the uppermost objects off; the last was on top.
    pub fn pop_last(&mut self, count: usize) -> Result<Vec<NodeId>, String> {
        if count > self.above_mark() {
            return Err("its stack holds too little".into());
        }
        let from = self.ids.len() - count;
        // Not `split_off`, whose result may keep the capacity of the whole stack.
        Ok(self.ids.drain(from..).collect())
    }

    /// Takes all objects above the last mark off, and the mark.
    pub fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, String> {
        let items = self.pop_last(self.above_mark())?;
        match self.marks.pop() {
            Some(_) => Ok(items),
            None => Err("a mark is missing on its stack".into()),
        }
    }

    /// Takes off what is on top, object or mark.
    pub fn discard(&mut self) -> Result<(), String> {
        if self.above_mark() == 0 && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn above_mark(&self) -> usize {
        let below = self.marks.last().copied().unwrap_or_default();
        self.ids.len().saturating_sub(below)
    }
}

fn room(entries: &[usize]) -> Result<(), String> {
    if entries.len() >= MAX_NODES {
        return Err("its stack grows beyond what any checkpoint needs".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_has_an_end() {
        let full = vec![0; MAX_NODES];
        assert!(room(&full).is_err());
        assert!(room(&full[1..]).is_ok());
    }
}
