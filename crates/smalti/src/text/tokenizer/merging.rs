//! The merging of byte-pair encoding: of all rules that apply anywhere, the one learned first is carried out, the
//! leftmost of equals, until none applies. A linked list and a queue keep that to n log n steps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The rules by the two tokens they apply to.
pub(super) type Rules = HashMap<(u32, u32), Rule>;

/// What becomes of two neighbouring tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The smaller, the earlier it was learned.
    pub(super) rank: usize,
    pub(super) merged: u32,
}

/// What the rules leave of these tokens.
pub(super) fn merge(rules: &Rules, tokens: &[u32]) -> Vec<u32> {
    let mut merging = Merging::new(rules, tokens);
    merging.run();
    merging.remaining()
}

/// No place in the list.
const NOWHERE: usize = usize::MAX;

struct Link {
    token: u32,
    previous: usize,
    next: usize,
}

struct Merging<'r> {
    rules: &'r Rules,
    list: Vec<Link>,
    /// Rank, place of the left token, what the two become; the smallest comes out first. Entries may be out of date.
    queue: BinaryHeap<Reverse<(usize, usize, u32)>>,
}

impl<'r> Merging<'r> {
    fn new(rules: &'r Rules, tokens: &[u32]) -> Self {
        let link = |(place, &token): (usize, &u32)| Link {
            token,
            previous: place.checked_sub(1).unwrap_or(NOWHERE),
            next: place + 1,
        };
        Self {
            rules,
            list: tokens.iter().enumerate().map(link).collect(),
            queue: BinaryHeap::new(),
        }
    }

    fn run(&mut self) {
        for place in 0..self.list.len() {
            self.consider(place);
        }
        while let Some(Reverse((_, place, merged))) = self.queue.pop() {
            // Another rule of the same result will do: the reference looks at no more than that.
            if self.rule(place).is_some_and(|rule| rule.merged == merged) {
                self.apply(place, merged);
            }
        }
    }

    fn remaining(&self) -> Vec<u32> {
        std::iter::successors(self.list.first(), |link| self.list.get(link.next))
            .map(|link| link.token)
            .collect()
    }

    /// The rule for the token at `place` and its next, if there are both.
    fn rule(&self, place: usize) -> Option<Rule> {
        let left = self.list.get(place)?;
        let right = self.list.get(left.next)?;
        self.rules.get(&(left.token, right.token)).copied()
    }

    fn consider(&mut self, place: usize) {
        if let Some(rule) = self.rule(place) {
            self.queue.push(Reverse((rule.rank, place, rule.merged)));
        }
    }

    /// Makes one token of that at `place` and its next.
    fn apply(&mut self, place: usize, merged: u32) {
        let right = self.list[place].next;
        let next = self.list[right].next;
        // Without a next, no entry of the queue applies to it any more.
        self.list[right].next = NOWHERE;
        self.list[place].next = next;
        self.list[place].token = merged;
        if let Some(link) = self.list.get_mut(next) {
            link.previous = place;
        }
        let previous = self.list[place].previous;
        self.consider(previous);
        self.consider(place);
    }
}
