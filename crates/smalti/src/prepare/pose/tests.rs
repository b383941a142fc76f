//! Files of key points, right and wrong, and what is drawn of them.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A person of whom only some points are known: number, x, y and visibility.
fn keypoints(known: &[[f64; 4]]) -> Vec<f64> {
    let mut numbers = vec![0.0; 3 * POINTS];
    for &[index, x, y, visibility] in known {
        let start = 3 * index as usize;
        numbers[start..start + 3].copy_from_slice(&[x, y, visibility]);
    }
    numbers
}

fn file(contents: &Value) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("person_keypoints.json");
    fs::write(&path, contents.to_string()).unwrap();
    (folder, path)
}

fn read(contents: &Value) -> Result<Skeletons> {
    let (_folder, path) = file(contents);
    Skeletons::read(&path)
}

fn message(contents: &Value) -> String {
    read(contents).unwrap_err().to_string()
}

fn drawn(skeletons: &Skeletons, path: &str) -> RgbImage {
    let picture = RgbImage::new(40, 30);
    skeletons
        .draw(Path::new(path), &picture, &Style::default())
        .unwrap()
}

fn is_black(image: &RgbImage) -> bool {
    image.as_raw().iter().all(|&byte| byte == 0)
}

/// Shoulders and the left hip of one person, one wrist of another in the same picture, and a picture without people.
fn example() -> Value {
    let first = keypoints(&[
        [5.0, 10.0, 5.0, 2.0],
        [6.0, 30.0, 5.0, 1.0],
        [11.0, 10.0, 25.0, 2.0],
    ]);
    let second = keypoints(&[[9.0, 35.0, 25.0, 2.0]]);
    json!({
        "info": {"year": 2017},
        "images": [
            {"id": 7, "file_name": "0007.jpg", "width": 40, "height": 30, "coco_url": "x"},
            {"id": 8, "file_name": "0008.jpg", "width": 40, "height": 30},
        ],
        "annotations": [
            {"image_id": 7, "keypoints": first, "area": 90.5, "iscrowd": 0, "num_keypoints": 3},
            {"image_id": 7, "keypoints": second, "area": 20},
            {"image_id": 8, "keypoints": first, "iscrowd": 1},
            {"image_id": 8, "bbox": [1, 2, 3, 4]},
        ],
    })
}

#[test]
fn people_are_drawn_where_they_are() {
    let skeletons = read(&example()).unwrap();
    let image = drawn(&skeletons, "train/0007.png");
    assert_eq!(image.dimensions(), (40, 30));
    let color = |x, y| image.get_pixel(x, y).0.map(f64::from);
    // From shoulder to shoulder, and from the left one to the hip; the points lie over the ends of the lines.
    assert_eq!(color(20, 5), hue(7, LIMBS.len(), 1.0));
    assert_eq!(color(10, 15), hue(5, LIMBS.len(), 1.0));
    assert_eq!(color(10, 5), hue(5, POINTS, 0.5));
    assert_eq!(color(35, 25), hue(9, POINTS, 0.5));
    assert_eq!(color(25, 20), [0.0; 3]);
    assert!(is_black(&drawn(&skeletons, "0008.jpg")));
}

#[test]
fn hidden_points_can_be_left_out() {
    let skeletons = read(&example()).unwrap();
    let style = Style {
        visible_only: true,
        ..Style::default()
    };
    let picture = RgbImage::new(40, 30);
    let image = skeletons.draw(Path::new("0007"), &picture, &style).unwrap();
    assert_eq!(image.get_pixel(20, 5).0, [0; 3]);
    assert_ne!(image.get_pixel(10, 15).0, [0; 3]);
}

#[test]
fn the_largest_person_is_in_front() {
    let person = |index: usize, area| {
        let mut points = [Point::default(); POINTS];
        points[index] = Point {
            x: 4.0,
            y: 4.0,
            visibility: Visibility::Visible,
        };
        Person { points, area }
    };
    for order in [[3, 14], [14, 3]] {
        let people = order.map(|index| person(index, index as f64));
        let image = skeletons(&people, [9, 9], &Style::default());
        assert_eq!(image.get_pixel(4, 4).0.map(f64::from), hue(14, POINTS, 0.5));
    }
}

#[test]
fn lines_grow_with_the_picture() {
    let mut points = [Point::default(); POINTS];
    let visible = |x| Point {
        x,
        y: 100.0,
        visibility: Visibility::Visible,
    };
    points[0] = visible(20.0);
    points[1] = visible(180.0);
    let people = [Person { points, area: 0.0 }];
    let rows = |line_width| {
        let style = Style {
            line_width,
            visible_only: false,
        };
        let image = skeletons(&people, [200, 200], &style);
        (0..200)
            .filter(|&y| image.get_pixel(100, y).0 != [0; 3])
            .count()
    };
    assert_eq!([rows(0.005), rows(0.025), rows(0.1)], [1, 5, 21]);
    assert_eq!(rows(1e-9), 1);
}

#[test]
fn limbs_and_points_have_colours_of_their_own() {
    let limbs = (0..LIMBS.len()).map(|number| hue(number, LIMBS.len(), 1.0));
    let points = (0..POINTS).map(|number| hue(number, POINTS, 0.5));
    let colors: Vec<[f64; 3]> = limbs.chain(points).collect();
    for (index, color) in colors.iter().enumerate() {
        assert!(!colors[..index].contains(color), "{index}");
    }
}

#[test]
fn pictures_of_one_name_are_told_apart_by_their_folders() {
    let of = |name: &str, id: i64| json!({"id": id, "file_name": name, "width": 40, "height": 30});
    let point = keypoints(&[[0.0, 3.0, 3.0, 2.0]]);
    let skeletons = read(&json!({
        "images": [of("a/1.jpg", 1), of("b/1.jpg", 2), of("1.jpg", 3)],
        "annotations": [{"image_id": 2, "keypoints": point}],
    }))
    .unwrap();
    assert!(is_black(&drawn(&skeletons, "data/a/1.jpg")));
    assert!(!is_black(&drawn(&skeletons, "data/b/1.png")));
    assert!(is_black(&drawn(&skeletons, "data/c/1.jpg")));
    let picture = RgbImage::new(40, 30);
    let missing = skeletons.draw(Path::new("b/11.jpg"), &picture, &Style::default());
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("does not list it")
    );
}

#[test]
fn a_picture_of_other_sides_is_refused() {
    let skeletons = read(&example()).unwrap();
    let turned = RgbImage::new(30, 40);
    let error = skeletons.draw(Path::new("0007.jpg"), &turned, &Style::default());
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("30×40 pixels, but its key points are given for 40×30"),
        "{text}"
    );
}

#[test]
fn impossible_files_are_refused() {
    let (_folder, path) = file(&json!([]));
    let error = Skeletons::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("person_keypoints.json: no file of COCO's key points"),
        "{error}"
    );
    assert!(Skeletons::read(Path::new("nowhere.json")).is_err());

    let with = |key: &str, value: Value| {
        let mut contents = example();
        contents["annotations"][1][key] = value;
        message(&contents)
    };
    let text = with("keypoints", json!([1.0, 2.0, 2.0]));
    assert!(
        text.contains("annotation 1: its key points are 3 numbers"),
        "{text}"
    );
    let text = with("keypoints", json!(keypoints(&[[3.0, 1.0, 1.0, 7.0]])));
    assert!(text.contains("7 says nothing"), "{text}");
    let text = with("keypoints", json!(keypoints(&[[3.0, 1e300, 1.0, 2.0]])));
    assert!(text.contains("in no picture"), "{text}");
    assert!(with("image_id", json!(99)).contains("no picture has the id 99"));

    let mut twice = example();
    twice["images"][1]["id"] = json!(7);
    assert!(message(&twice).contains("two pictures have the id 7"));
}

#[test]
fn widths_are_checked() {
    let check = |line_width| {
        let style = Style {
            line_width,
            visible_only: false,
        };
        style.check()
    };
    assert!(check(0.5).is_ok());
    for width in [0.0, -1.0, 1.5, f64::NAN] {
        assert!(check(width).is_err());
    }
}
