//! Hand-assembled pieces of pickles, for the tests of all readers.

/// A whole pickle of one object.
pub fn pickle(object: &[u8]) -> Vec<u8> {
    [&b"\x80\x02"[..], object, &b"."[..]].concat()
}

pub fn text(value: &str) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&b"X"[..], &length[..], value.as_bytes()].concat()
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&b"B"[..], &length[..], value].concat()
}

pub fn int(value: i32) -> Vec<u8> {
    [&b"J"[..], &value.to_le_bytes()[..]].concat()
}

pub fn truth(value: bool) -> Vec<u8> {
    vec![if value { 0x88 } else { 0x89 }]
}

pub fn none() -> Vec<u8> {
    b"N".to_vec()
}

pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"("[..], &items.concat()[..], &b"t"[..]].concat()
}

pub fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"]("[..], &items.concat()[..], &b"e"[..]].concat()
}

pub fn ints(values: &[i32]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|&value| int(value)).collect();
    tuple(&values)
}

/// The call of a function, and what is called with the result's `__setstate__`, if anything.
pub fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [&global(module, name)[..], &tuple(args)[..], &b"R"[..]].concat()
}

pub fn with_state(object: &[u8], state: &[u8]) -> Vec<u8> {
    [object, state, &b"b"[..]].concat()
}

fn items(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut items = b"(".to_vec();
    for (key, value) in entries {
        items.extend(text(key));
        items.extend(value);
    }
    items.push(b'u');
    items
}

pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [&b"}"[..], &items(entries)[..]].concat()
}

pub fn ordered_dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [
        &call("collections", "OrderedDict", &[])[..],
        &items(entries)[..],
    ]
    .concat()
}

/// A reference to a storage of a zip file, or with `view` (`None` or a tuple) of a legacy file.
pub fn storage(class: &str, key: &str, numel: i32, view: Option<Vec<u8>>) -> Vec<u8> {
    let mut id = vec![
        text("storage"),
        global("torch", class),
        text(key),
        text("cpu"),
        int(numel),
    ];
    id.extend(view);
    [&tuple(&id)[..], &b"Q"[..]].concat()
}

pub fn tensor(storage: &[u8], offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let args = [
        storage.to_vec(),
        int(offset),
        ints(shape),
        ints(strides),
        truth(false),
        ordered_dict(&[]),
    ];
    call("torch._utils", "_rebuild_tensor_v2", &args)
}

/// A numpy element type such as `f4`, in the byte order `<`, `>` or `|`.
pub fn dtype(code: &str, order: &str) -> Vec<u8> {
    let made = call("numpy", "dtype", &[text(code), truth(false), truth(true)]);
    let state = [
        int(3),
        text(order),
        none(),
        none(),
        none(),
        int(-1),
        int(-1),
        int(0),
    ];
    with_state(&made, &tuple(&state))
}

/// A numpy array whose `data` is a pickled object.
pub fn array(dtype: &[u8], shape: &[i32], fortran: bool, data: Vec<u8>) -> Vec<u8> {
    let args = [global("numpy", "ndarray"), ints(&[0]), bytes(b"b")];
    let made = call("numpy.core.multiarray", "_reconstruct", &args);
    let state = [int(1), ints(shape), dtype.to_vec(), truth(fortran), data];
    with_state(&made, &tuple(&state))
}
