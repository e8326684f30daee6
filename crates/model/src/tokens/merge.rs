//! Byte-pair merging (Sennrich et al., 2016), apart from what says which pairs may merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stretch of a text, in bytes, and the token that it is; a character may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub start: usize,
    pub end: usize,
    pub id: Option<u32>,
}

/// What two neighbours make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// Lower ones merge first, equal ones from left to right.
    pub order: u32,
    pub id: u32,
}

/// One merge that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge {
    pub left: Part,
    pub right: Part,
}

/// A text cut into parts, and the merges that led to them.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub parts: Vec<Part>,
    pub merges: Vec<Merge>,
}

struct Node {
    part: Part,
    before: Option<usize>,
    after: usize,
}

/// Merges neighbouring parts, best pair first, until no pair can be merged. The time is
/// proportional to the number of parts and its logarithm.
pub(super) fn merge(
    parts: impl Iterator<Item = Part>,
    join: impl Fn(&Part, &Part) -> Option<Join>,
) -> Merged {
    let node = |(i, part): (usize, Part)| Node { part, before: i.checked_sub(1), after: i + 1 };
    let mut nodes: Vec<Node> = parts.enumerate().map(node).collect();
    let mut queue = BinaryHeap::new();
    let offer = |nodes: &[Node], queue: &mut BinaryHeap<_>, left: usize, right: usize| {
        if let (Some(one), Some(other)) = (nodes.get(left), nodes.get(right))
            && let Some(Join { order, id }) = join(&one.part, &other.part)
        {
            queue.push(Reverse((order, left, other.part.end, id)));
        }
    };
    for right in 1..nodes.len() {
        offer(&nodes, &mut queue, right - 1, right);
    }

    let mut merges = Vec::new();
    while let Some(Reverse((_, left, end, id))) = queue.pop() {
        let Some(&Node { part: one, before, after: right }) = nodes.get(left) else { continue };
        let Some(&Node { part: other, after, .. }) = nodes.get(right) else { continue };
        // Either may have merged with another since the pair was offered: the left one is then
        // empty, or the right one ends elsewhere.
        if one.start == one.end || other.end != end {
            continue;
        }
        merges.push(Merge { left: one, right: other });
        if let Some(node) = nodes.get_mut(left) {
            node.part = Part { start: one.start, end, id: Some(id) };
            node.after = after;
        }
        if let Some(node) = nodes.get_mut(right) {
            node.part.end = node.part.start;
        }
        if let Some(node) = nodes.get_mut(after) {
            node.before = Some(left);
        }
        if let Some(before) = before {
            offer(&nodes, &mut queue, before, left);
        }
        offer(&nodes, &mut queue, left, after);
    }
    let parts = nodes.into_iter().map(|node| node.part).filter(|part| part.start < part.end);
    Merged { parts: parts.collect(), merges }
}
