//! Pickles and `torch.save` files: some that are good, and some out to harm.

use crate::mutate::{self, pick};
use crate::samples::{
    array, bytes, call, dict, dtype, global, int, list, none, ordered_dict, pickle, storage,
    tensor, text, truth, with_state,
};
use crate::seeds::Seeds;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The numbers of the one storage that torch files here have, under the key 0.
const STORAGE: [u8; 32] = [0x3F; 32];

/// What a pickle that was executed would leave behind.
pub fn marker() -> PathBuf {
    std::env::temp_dir().join("smalti-executed-a-pickle")
}

/// Plain pickles.
pub fn plain() -> Seeds {
    let layer = dict(&[("kernel", floats(&[1, 1, 1, 2])), ("bias", floats(&[2]))]);
    let network = dict(&[("VGG16_0", dict(&[("Conv_0", layer)])), ("step", int(7))]);
    let good = vec![
        pickle(&network),
        b"(dp0\nVepoch\nI3\nsVweights\n(lp1\nF0.5\naL12L\nas.".to_vec(),
        pickle(&list(&[
            floats(&[0, 3]),
            with_state(&call("nets", "Net", &[]), &dict(&[("w", floats(&[1]))])),
        ])),
    ];
    let mut bad = executions();
    bad.extend(bombs());
    Seeds::files(good, bad)
}

/// Changes a plain pickle.
pub fn make_plain(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    let file = seeds.any(random);
    mutate::bytes(random, file, &seeds.good)
}

/// An array of floats; its numbers are zeros.
fn floats(shape: &[i32]) -> Vec<u8> {
    let count: i32 = shape.iter().product();
    array(
        &dtype("f4", "<"),
        shape,
        false,
        bytes(&vec![0; 4 * count as usize]),
    )
}

/// Pickles that do something when Python reads them, in all the ways a pickle can call.
fn executions() -> Vec<Vec<u8>> {
    let command = format!("touch {}", marker().display());
    let python = format!("open({:?}, 'w')", marker().display().to_string());
    let by_name = [text("os"), text("system"), b"\x93".to_vec(), text(&command)].concat();
    let state = dict(&[("__class__", global("os", "system"))]);
    let objects = [
        call("os", "system", &[text(&command)]),
        call("posix", "system", &[text(&command)]),
        call("builtins", "eval", &[text(&python)]),
        call("__builtin__", "exec", &[text(&python)]),
        call("torch._utils", "_rebuild_tensor_v2", &[text(&python)]),
        with_state(&call("os", "system", &[text(&command)]), &state),
        [&by_name[..], &b"\x85R"[..]].concat(),
        [&by_name[..], &b"\x85\x81"[..]].concat(),
        [&by_name[..], &b"\x85}\x92"[..]].concat(),
        [&b"("[..], &text(&command)[..], &b"ios\nsystem\n"[..]].concat(),
        [
            &b"("[..],
            &global("os", "system")[..],
            &text(&command)[..],
            &b"o"[..],
        ]
        .concat(),
        [&text(&command)[..], &b"Q"[..]].concat(),
        b"\x82\x01)R\x84\xff\xff\xff\xff)R\x86".to_vec(),
    ];
    objects.iter().map(|object| pickle(object)).collect()
}

/// Pickles that ask for much: by nesting, by repeating, by announcing.
fn bombs() -> Vec<Vec<u8>> {
    let doubled: Vec<u8> = (0..40_u8)
        .flat_map(|index| [b'(', b'h', index, b'h', index, b't', b'q', index + 1])
        .collect();
    let parameter = [
        call("torch.nn.parameter", "Parameter", &[none()]),
        b"q\x01h\x01b".to_vec(),
    ];
    let codes = array(&dtype("O8", "|"), &[2], false, list(&[int(1), int(2)]));
    let huge = array(&dtype("f8", ">"), &[i32::MAX; 9], true, bytes(b""));
    let latin = call(
        "_codecs",
        "encode",
        &[text("\u{e9}\u{100}"), text("latin1")],
    );
    let objects = [
        [vec![b'('; 20_000], vec![b't'; 20_000]].concat(),
        [vec![b']'; 20_000], vec![b'a'; 19_999]].concat(),
        [vec![b'N'], vec![0x85; 20_000]].concat(),
        [vec![b'N'], b"2R".repeat(10_000)].concat(),
        [vec![b'N'], vec![0x94; 20_000]].concat(),
        [&b"]q\x00"[..], &doubled[..]].concat(),
        [&b"]q\x00("[..], &b"h\x00".repeat(10_000)[..], &b"e"[..]].concat(),
        [&b"}q\x00("[..], &b"h\x00h\x00".repeat(5_000)[..], &b"u"[..]].concat(),
        parameter.concat(),
        [
            &b"]("[..],
            &floats(&[0; 60])[..],
            &b"q\x01"[..],
            &b"h\x01".repeat(9_000)[..],
            &b"e"[..],
        ]
        .concat(),
        b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff".to_vec(),
        b"h\x07".to_vec(),
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffx".to_vec(),
        b"\x96\xff\xff\xff\x7f\0\0\0\0x".to_vec(),
        b"\x8b\xff\xff\xff\x7fx".to_vec(),
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN".to_vec(),
        b"Vno end".to_vec(),
        b"I999999999999999999999999\nL-L\n".to_vec(),
        dict(&[("w", codes)]),
        dict(&[("w", huge)]),
        dict(&[("w", array(&dtype("u1", "|"), &[3], false, latin))]),
        dict(&[(
            "n",
            call(
                "numpy.core.multiarray",
                "scalar",
                &[dtype("f8", "<"), bytes(b"1")],
            ),
        )]),
    ];
    objects.iter().map(|object| pickle(object)).collect()
}

/// What `torch.save` writes, as zip files and as files before PyTorch 1.6; the parts are the pickles.
pub fn torch() -> Seeds {
    let parts = saved();
    let mut good: Vec<Vec<u8>> = parts.iter().map(|part| zipped(part)).collect();
    good.push(legacy(&parts[0]));
    let (first, zeros, marks) = (&parts[0][..], vec![0; 3 << 20], vec![b'('; 1 << 21]);
    let mut bad = vec![
        archive(&[("m/data.pkl", first), ("m/data/0", &zeros[..])]),
        archive(&[("m/data.pkl", &marks[..])]),
        archive(&[("../../data.pkl", first), ("../../data/0", &STORAGE[..])]),
        archive(&[
            ("data.pkl", first),
            ("byteorder", &b"big"[..]),
            ("data/0", &STORAGE[..]),
        ]),
        archive(&[("a.txt", &b""[..])]),
    ];
    let zip = zipped(first);
    bad.extend([0xFF, 0xFFFF, u64::from(u32::MAX), u64::MAX].map(|count| zip64(&zip, count)));
    for view in [[-1, 8], [7, 2], [i32::MAX, 1], [0, i32::MAX]] {
        bad.push(zipped(&pickle(&weights("FloatStorage", &[8], view))));
    }
    bad.push(zipped(&pickle(&weights("UntypedStorage", &[8], [0, 8]))));
    bad.push(zipped(&pickle(&weights(
        "FloatStorage",
        &[i32::MAX; 3],
        [0, 8],
    ))));
    Seeds { good, bad, parts }
}

/// The pickles of good files, which read the storage.
fn saved() -> Vec<Vec<u8>> {
    let state = ordered_dict(&[("conv.weight", weights("FloatStorage", &[2, 4], [0, 8]))]);
    let training = dict(&[
        ("global_step", int(12)),
        ("optimizer_states", list(&[dict(&[("lr", none())])])),
        ("state_dict", state),
    ]);
    let kinds = [
        ("HalfStorage", 16),
        ("BFloat16Storage", 16),
        ("DoubleStorage", 4),
        ("LongStorage", 4),
        ("BoolStorage", 32),
    ];
    let others = kinds.map(|(class, count)| pickle(&weights(class, &[count], [0, count])));
    [vec![pickle(&training)], others.to_vec()].concat()
}

/// A tensor of the storage: where in it the tensor begins, and how many elements the storage is said to have.
fn weights(class: &str, shape: &[i32], [offset, count]: [i32; 2]) -> Vec<u8> {
    let mut strides = vec![1_i32; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
    }
    tensor(&storage(class, "0", count, None), offset, shape, &strides)
}

fn zipped(pickle: &[u8]) -> Vec<u8> {
    archive(&[
        ("model/data.pkl", pickle),
        ("model/byteorder", &b"little"[..]),
        ("model/data/0", &STORAGE[..]),
        ("model/version", &b"3\n"[..]),
    ])
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, contents) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(contents).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The same archive with a directory that says it has `count` entries, in the form for large archives.
fn zip64(zip: &[u8], count: u64) -> Vec<u8> {
    let (body, end) = zip.split_at(zip.len() - 22);
    let directory = u64::from(u32::from_le_bytes([end[16], end[17], end[18], end[19]]));
    let mut file = body.to_vec();
    file.extend(b"PK\x06\x06");
    file.extend(44_u64.to_le_bytes());
    file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [count, count, u64::MAX / 2, directory] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend((body.len() as u64).to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([0xFF; 12]);
    file.extend([0, 0]);
    file
}

fn legacy(pickled: &[u8]) -> Vec<u8> {
    let parts = [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(),
        pickle(&int(1001)),
        pickle(&dict(&[("little_endian", truth(true))])),
        pickled.to_vec(),
        pickle(&list(&[text("0")])),
        8_i64.to_le_bytes().to_vec(),
        STORAGE.to_vec(),
    ];
    parts.concat()
}

/// Changes a file, or a pickle before it becomes one: a change in a packed pickle mostly ends at the checksum.
pub fn make_torch(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    if random.random_bool(0.4) {
        let file = seeds.any(random);
        return mutate::bytes(random, file, &seeds.good);
    }
    let part = pick(random, &seeds.parts).clone();
    let part = mutate::bytes(random, &part, &seeds.parts);
    if random.random_bool(0.7) {
        zipped(&part)
    } else {
        legacy(&part)
    }
}
