//! What is said of pictures: objects in the forms of COCO and of Open Images, key points, and layouts.

use crate::seeds::Seeds;
use crate::texts::owned;
use serde_json::{Value, json};

fn files(documents: &[Value]) -> Vec<Vec<u8>> {
    let texts = documents.iter().map(Value::to_string);
    texts.map(String::into_bytes).collect()
}

/// A document in which the value at a JSON pointer is another.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = document.clone();
    if let Some(place) = changed.pointer_mut(pointer) {
        *place = value;
    }
    changed
}

/// Values that stand for a number, an id or a list where they should not.
fn wrong_values() -> [Value; 12] {
    [
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-1e308),
        json!(4.9e-324),
        json!(null),
        json!(true),
        json!(""),
        json!([]),
        json!({}),
    ]
}

/// The document with every one of these places holding every wrong value.
fn spoilt(document: &Value, places: &[&str]) -> Vec<Value> {
    let at = |place: &&str| wrong_values().map(|value| with(document, place, value));
    places.iter().flat_map(at).collect()
}

/// JSON that is deep, long or empty, whatever it is read as.
fn shapeless() -> Vec<Vec<u8>> {
    let mut files = owned(&["", "{}", "[]", "null", "\u{feff}{}", "{\"images\":[", "NaN"]);
    files.push("[".repeat(10_000).into_bytes());
    files.push("{\"images\":".repeat(5000).into_bytes());
    files.push(format!("{{\"more\":{}", "[".repeat(10_000)).into_bytes());
    files.push(vec![0xFF; 1000]);
    files
}

/// Annotations of objects in COCO's form.
pub fn coco() -> Seeds {
    let whole = json!({
        "info": {"year": 2017},
        "images": [
            {"id": 5, "file_name": "a.png", "width": 200, "height": 100},
            {"id": "six", "file_name": "b/six.jpg", "width": 64, "height": 64},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 10, "name": "dog"}, {"id": 183, "name": "other"}],
        "annotations": [
            {"image_id": 5, "category_id": 1, "bbox": [50, 25.0, 100, 50], "segmentation": [[1, 2, 3]], "iscrowd": 0},
            {"image_id": "six", "category_id": "10", "bbox": [0, 0, 64, 64], "iscrowd": 1},
            {"image_id": 5, "category_id": 183, "bbox": [-20, 0, 40, 100]},
        ],
    });
    let places = [
        "/images/0/id",
        "/images/0/width",
        "/images/1/file_name",
        "/categories/1/id",
        "/annotations/0/image_id",
        "/annotations/0/bbox",
        "/annotations/0/bbox/0",
        "/annotations/0/bbox/2",
        "/annotations/1/iscrowd",
    ];
    let bare = json!({"images": [], "categories": [], "annotations": []});
    let annotation = json!({"image_id": 5, "category_id": 1, "bbox": [0, 0, 9, 9]});
    let huge = json!([-1e308, -1e308, 1.7e308, 1.7e308]);
    let picture = |index: u32| json!({"id": index, "file_name": "a", "width": 1, "height": 1});
    let documents = [
        bare,
        with(&whole, "/annotations", json!(vec![annotation; 2000])),
        with(&whole, "/annotations/0/bbox", huge),
        with(&whole, "/images/1/id", json!("5")),
        with(&whole, "/images/1/file_name", json!("../../etc/passwd")),
        with(&whole, "/categories/0/name", json!("x".repeat(10_000))),
        with(&whole, "/images", (0..2000).map(picture).collect()),
    ];
    let mut bad = files(&spoilt(&whole, &places));
    bad.extend(files(&documents));
    bad.extend(shapeless());
    Seeds::files(files(&[whole]), bad)
}

/// Tables of the boxes of Open Images.
pub fn open_images() -> Seeds {
    const HEADING: &str = "ImageID,Source,LabelName,XMin,XMax,YMin,YMax,\
                           IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside";
    let rows = |rows: &[&str]| format!("{HEADING}\n{}\n", rows.join("\n")).into_bytes();
    let good = vec![
        rows(&[
            "00ab,xclick,/m/cat,0.25,0.75,0.0,0.5,1,0,0,-1,0",
            "00cd,xclick,/m/dog,0.0,1.0,0.0,1.0,0,0,1,0,1",
            "00ab,xclick,/m/dog,0.0,0.5,0.5,1.0,0,1,1,0,0",
        ]),
        rows(&["\r", "f,x,/m/cat,0,1,0,1,0,0,0,0,0\r"]),
    ];
    let row = "f,x,/m/cat,0,1,0,1,0,0,0,0,0";
    let mut bad = vec![
        rows(&[]),
        rows(&["../../etc/passwd,x,/m/cat,0,1,0,1,0,0,0,0,0"]),
        rows(&["f,x,/m/cat,-1e308,1e308,-1e308,1e308,0,0,0,0,0"]),
        rows(&["f,x,/m/cat,nan,inf,-inf,1e999,0,0,0,0,0"]),
        rows(&["f,x,/m/cat,1,0,1,0,0,0,0,0,0"]),
        rows(&["f,x,/m/cat,0,1,0,1,2,0,-9223372036854775808,0,0"]),
        rows(&["f,x,/m/cat,0,1"]),
        rows(&["x".repeat(1 << 17).as_str()]),
        rows(&[",".repeat(60_000).as_str()]),
        rows(&[row; 2000]),
        HEADING.repeat(100).into_bytes(),
        "ImageID,".repeat(8000).into_bytes(),
    ];
    let pictures: Vec<String> = (0..2000)
        .map(|index| format!("{index:x}{}", &row[1..]))
        .collect();
    let pictures: Vec<&str> = pictures.iter().map(String::as_str).collect();
    bad.push(rows(&pictures));
    bad.extend(owned(&[
        "",
        "\n\n\n",
        "\u{feff}",
        ",",
        "/m/a\n",
        "/m/a,\"\n/m/a,b\n",
    ]));
    bad.push(vec![0xFF; 1000]);
    Seeds::files(good, bad)
}

/// Files of key points.
pub fn key_points() -> Seeds {
    let points: Vec<Value> = (0..17)
        .flat_map(|index| [json!(index % 8), json!(3.5), json!(2)])
        .collect();
    let whole = json!({
        "images": [
            {"id": 1, "file_name": "a.png", "width": 8, "height": 8},
            {"id": -2, "file_name": "x/b.png", "width": 8, "height": 8},
        ],
        "annotations": [
            {"image_id": 1, "keypoints": points, "area": 12.5, "iscrowd": 0},
            {"image_id": -2, "keypoints": points, "num_keypoints": 17},
            {"image_id": 1, "bbox": [0, 0, 1, 1]},
        ],
    });
    let places = [
        "/images/0/id",
        "/images/0/width",
        "/images/1/file_name",
        "/annotations/0/image_id",
        "/annotations/0/keypoints",
        "/annotations/0/keypoints/0",
        "/annotations/0/keypoints/2",
        "/annotations/0/area",
        "/annotations/0/iscrowd",
    ];
    let bare = json!({"images": [], "annotations": []});
    let person = whole["annotations"][0].clone();
    let far: Vec<Value> = (0..51)
        .map(|index| {
            if index % 3 == 2 {
                json!(2)
            } else {
                json!(-1e6)
            }
        })
        .collect();
    let documents = [
        bare,
        with(&whole, "/annotations", json!(vec![person; 300])),
        with(
            &whole,
            "/annotations",
            json!(vec![json!({"image_id": 1}); 3000]),
        ),
        with(&whole, "/annotations/0/keypoints", json!(far)),
        with(&whole, "/annotations/0/keypoints", json!(vec![0; 20_000])),
        with(&whole, "/images/1/id", json!(1)),
        with(&whole, "/images/1/file_name", json!("..")),
        with(&whole, "/images/1/file_name", json!("/")),
        with(&whole, "/images/0/height", json!(u32::MAX)),
    ];
    let mut bad = files(&spoilt(&whole, &places));
    bad.extend(files(&documents));
    bad.extend(shapeless());
    Seeds::files(files(&[whole]), bad)
}

/// Layouts of the categories `cat`, `dog` and `7`.
pub fn layouts() -> Seeds {
    let whole = json!({"objects": [
        {"category": "dog", "box": [0.25, 0, 0.5, 1], "group": true, "occluded": true},
        {"category": 0, "box": [0, 0, 1, 1.0001], "inside": true, "depiction": true},
        {"category": 7, "box": [0.5, 0.5, 1e-300, 0.25]},
    ]});
    let places = [
        "/objects",
        "/objects/0",
        "/objects/0/category",
        "/objects/0/box",
        "/objects/0/box/0",
        "/objects/0/box/2",
        "/objects/1/inside",
    ];
    let object = whole["objects"][1].clone();
    let documents = [
        with(&whole, "/objects", json!(vec![object; 3000])),
        with(&whole, "/objects/0/category", json!("x".repeat(10_000))),
        with(
            &whole,
            "/objects/0/box",
            json!([1e308, 1e308, 1e308, 1e308]),
        ),
        with(&whole, "/objects/0/box", json!(vec![0.0; 5000])),
    ];
    let mut bad = files(&spoilt(&whole, &places));
    bad.extend(files(&documents));
    bad.extend(shapeless());
    bad.extend(owned(&[
        r#"{"objects": [], "objects": []}"#,
        r#"{"objects": [{"category": 0, "category": 1, "box": [0, 0, 1, 1]}]}"#,
        r#"{"objects": [{"category": 0, "box": [0, 0, 1e400, 1]}]}"#,
    ]));
    Seeds::files(files(&[whole, json!({"objects": []})]), bad)
}
