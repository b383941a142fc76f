//! Tests of the pickle machine: every kind of opcode, and input that is out to harm.

use super::samples::{call, int, pickle, text};
use super::*;

fn graph(input: &[u8]) -> Graph<'_> {
    parse(input, 0).unwrap().graph
}

fn error(input: &[u8]) -> String {
    parse(input, 0).unwrap_err()
}

/// The members of a tuple or list.
fn members<'g>(graph: &'g Graph<'_>, id: NodeId) -> Vec<&'g Node<'g>> {
    let items = graph.sequence(id).unwrap();
    items.iter().map(|&item| graph.node(item)).collect()
}

#[test]
fn numbers_of_all_protocols() {
    let input = b"(NI01\nI00\nI-7\nL12L\nF1.5\nJ\xff\xff\xff\xffK\x09M\x00\x01\x8a\x00\x8a\x01\xfe\
        \x8b\x02\x00\x00\x00\xff\x00G\x3f\xf8\x00\x00\x00\x00\x00\x00\x88\x89t.";
    let graph = graph(input);
    let found = format!("{:?}", members(&graph, graph.root));
    let expected = "[None, Bool(true), Bool(false), Int(-7), Int(12), Float(1.5), Int(-1), Int(9), \
        Int(256), Int(0), Int(-2), Int(255), Float(1.5), Bool(true), Bool(false)]";
    assert_eq!(found, expected);
}

#[test]
fn numbers_beyond_64_bits() {
    let graph = graph(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.");
    assert!(matches!(graph.node(graph.root), Node::Long(bytes) if bytes.len() == 10));
}

#[test]
fn strings_of_all_protocols() {
    let input = b"(S'a\\n'\nT\x01\x00\x00\x00bU\x01cVd\\u00e9\nX\x01\x00\x00\x00e\x8c\x01f\
        \x8d\x01\x00\x00\x00\x00\x00\x00\x00gU\x01\xffB\x01\x00\x00\x00hC\x01i\
        \x8e\x01\x00\x00\x00\x00\x00\x00\x00j\x96\x01\x00\x00\x00\x00\x00\x00\x00kt.";
    let graph = graph(input);
    let found = format!("{:?}", members(&graph, graph.root));
    let expected = "[Text(\"a\\n\"), Text(\"b\"), Text(\"c\"), Text(\"dé\"), Text(\"e\"), \
        Text(\"f\"), Text(\"g\"), Bytes([255]), Bytes([104]), Bytes([105]), Bytes([106]), \
        Bytes([107])]";
    assert_eq!(found, expected);
}

#[test]
fn containers_of_all_protocols() {
    let input = b"()\x85(K\x01K\x02l(K\x01K\x02dK\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87\
        ](K\x01K\x02e}(K\x01K\x02u\x8f(K\x01\x90(K\x01\x91t.";
    let graph = graph(input);
    let lengths: Vec<_> = members(&graph, graph.root)
        .into_iter()
        .map(|node| match node {
            Node::List(items) | Node::Tuple(items) => items.len(),
            Node::Dict(pairs) => 10 * pairs.len(),
            Node::Set => 100,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [1, 2, 10, 1, 2, 3, 2, 10, 100, 100]);
}

#[test]
fn stack_and_memo() {
    // A copy of 1 is made and dropped, then a mark with what is above it, then a bare mark; at last 1 is recalled thrice.
    let input = b"(K\x01p0\n20(K\x02K\x031(0q\x01\x94g0\nh\x01j\x02\x00\x00\x00t.";
    let graph = graph(input);
    let items = graph.sequence(graph.root).unwrap();
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|&item| graph.int(item) == Some(1)));
}

#[test]
fn objects_of_all_protocols() {
    let input = b"(cm\nA\n)RcB\nC\n)\x81cB\nC\n)}\x92(K\x01im\nI\n(cm\nO\nK\x01oX\x01\x00\x00\x00m\
        X\x01\x00\x00\x00S\x93)RPkey\n)Q\x82\x01\x83\x01\x00\x84\x01\x00\x00\x00t.";
    let graph = graph(input);
    let items = graph.sequence(graph.root).unwrap();
    let calls: Vec<_> = items.iter().filter_map(|&item| graph.call(item)).collect();
    let names: Vec<_> = calls.iter().map(|call| call.name).collect();
    let args: Vec<_> = calls.iter().map(|call| call.args.len()).collect();
    assert_eq!(names, ["A", "C", "C", "I", "O", "S"]);
    assert_eq!(args, [0, 0, 0, 1, 1, 0]);
    let others: Vec<_> = items[6..].iter().map(|&item| graph.node(item)).collect();
    assert!(matches!(
        others[..],
        [
            Node::Persistent(_),
            Node::Persistent(_),
            Node::Extension,
            Node::Extension,
            Node::Extension
        ]
    ));
}

#[test]
fn the_name_of_a_class_may_be_a_key() {
    let input = pickle(b"}clightning.callbacks\nModelCheckpoint\nK\x05s");
    let graph = graph(&input);
    let entries = graph.entries(graph.root);
    let [(key, value)] = entries[..] else {
        panic!("{entries:?}");
    };
    let expected = Some(("lightning.callbacks", "ModelCheckpoint"));
    assert_eq!(graph.global(key), expected);
    assert_eq!(graph.int(value), Some(5));
}

#[test]
fn a_shared_list_grows_everywhere() {
    let graph = graph(b"\x80\x04(]\x94h\x00K\x07at.");
    let items = graph.sequence(graph.root).unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0], items[1]);
    assert_eq!(graph.sequence(items[0]).map(<[NodeId]>::len), Some(1));
}

#[test]
fn a_list_may_contain_itself() {
    let graph = graph(b"\x80\x02]q\x00h\x00a.");
    assert_eq!(graph.sequence(graph.root), Some(&[graph.root][..]));
}

#[test]
fn calls_are_not_made() {
    let input = pickle(&call("os", "system", &[text("exit 1")]));
    let graph = graph(&input);
    let call = graph.call(graph.root).unwrap();
    assert_eq!((call.module, call.name), ("os", "system"));
    assert_eq!(graph.text(call.args[0]), Some("exit 1"));
}

#[test]
fn deep_nesting_needs_no_stack() {
    let depth = 300_000;
    let mut input = vec![b']'; depth];
    input.extend(vec![b'a'; depth - 1]);
    input.push(b'.');
    let graph = graph(&input);
    assert_eq!(graph.sequence(graph.root).map(<[NodeId]>::len), Some(1));
}

#[test]
fn announced_lengths_are_not_believed() {
    let inputs: [&[u8]; 7] = [
        b"X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\xffabc.",
        b"\x8b\xff\xff\xff\xffabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
        b"Vabc",
    ];
    for input in inputs {
        let message = error(input);
        assert!(message.contains("cut off"), "{message}");
    }
    // A memo index is only a name.
    let graph = graph(b"K\x01r\xff\xff\xff\xff0j\xff\xff\xff\xff.");
    assert_eq!(graph.int(graph.root), Some(1));
}

#[test]
fn malformed_programs_are_refused() {
    let cases: [(&[u8], &str); 14] = [
        (b".", "stack is empty"),
        (b"K\x01(.", "stack is empty"),
        (b"t.", "mark is missing"),
        (b"(K\x01d.", "without a value"),
        (b"K\x01K\x01a.", "not a list"),
        (b"]K\x01K\x01s.", "not a dict"),
        (b"]}b.", "not an object"),
        (b")K\x01a.", "not a list"),
        (b"h\x03.", "object 3"),
        (b"K\x01K\x01\x93.", "not text"),
        (b"(o.", "no class"),
        (b"\x97.", "outside the file"),
        (b"\x80\x09.", "protocol 9"),
        (b"\xff", "0xff"),
    ];
    for (input, reason) in cases {
        let message = error(input);
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("at byte"), "{message}");
    }
}

#[test]
fn frames_are_looked_into() {
    let graph = graph(b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x05.");
    assert_eq!(graph.int(graph.root), Some(5));
}

#[test]
fn a_pickle_may_begin_and_end_within_the_input() {
    let input = [&b"junk"[..], &pickle(&int(5)), &b"more"[..]].concat();
    let parsed = parse(&input, 4).unwrap();
    assert_eq!(parsed.graph.int(parsed.graph.root), Some(5));
    assert_eq!(&input[parsed.end..], b"more");
    assert!(parse(&input, 1000).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    let args = [
        samples::dtype("f4", "<"),
        samples::list(&[int(1), text("a")]),
    ];
    let input = pickle(&call("some.module", "function", &args));
    assert!(parse(&input, 0).is_ok());
    for end in 0..input.len() {
        assert!(parse(&input[..end], 0).is_err(), "{end} bytes");
    }
}
