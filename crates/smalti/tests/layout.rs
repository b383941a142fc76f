//! Layouts against the authors' own code: the tokens of real and made-up objects, and the objects of COCO's own files.
//! `flags.json` and `three_coco_cases.json` are carried along.

mod common;

use common::golden;
use serde::Deserialize;
use smalti::data::coco::CocoFiles;
use smalti::data::{Area, Object, ObjectFilter, View};
use smalti::prior::condition::layout::{LayoutCondition, PictureLayout, Places};
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    no_classes: usize,
    no_max_objects: usize,
    no_tokens: usize,
    #[serde(default)]
    use_group_parameter: bool,
    #[serde(default)]
    use_additional_parameters: bool,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    image_id: String,
    builder: String,
    crop: Option<[f64; 4]>,
    encode_crop: bool,
    flip: bool,
    objects: Vec<Boxed>,
    tokens: Vec<i64>,
}

#[derive(Deserialize)]
struct Boxed {
    category_no: u32,
    bbox: [f64; 4],
    #[serde(default)]
    group: bool,
    #[serde(default)]
    occluded: bool,
    #[serde(default)]
    depiction: bool,
    #[serde(default)]
    inside: bool,
}

fn read(path: &Path) -> Golden {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn area([x, y, width, height]: [f64; 4]) -> Area {
    Area {
        x,
        y,
        width,
        height,
    }
}

impl Golden {
    fn condition(&self, case: &Case) -> LayoutCondition {
        LayoutCondition {
            classes: self.no_classes,
            names: Vec::new(),
            places: match case.builder.as_str() {
                "bbox" => Places::Boxes,
                "center" => Places::Centers,
                other => panic!("a builder called {other}"),
            },
            max_objects: self.no_max_objects,
            token_count: self.no_tokens,
            encode_crop: case.encode_crop,
            use_group_parameter: self.use_group_parameter,
            use_additional_parameters: self.use_additional_parameters,
        }
    }
}

impl Case {
    fn objects(&self) -> Vec<Object> {
        let object = |boxed: &Boxed| Object {
            category: boxed.category_no,
            area: area(boxed.bbox),
            is_group_of: boxed.group,
            is_occluded: boxed.occluded,
            is_depiction: boxed.depiction,
            is_inside: boxed.inside,
        };
        self.objects.iter().map(object).collect()
    }

    fn view(&self) -> View {
        View {
            area: self.crop.map_or(Area::FULL, area),
            mirrored: self.flip,
        }
    }
}

/// Every case has the authors' tokens, which mean what the authors say they mean.
fn check(path: &Path, cases: usize) {
    let golden = read(path);
    assert_eq!(golden.cases.len(), cases);
    for (number, case) in golden.cases.iter().enumerate() {
        let condition = golden.condition(case);
        assert!(condition.check(golden.no_tokens).is_ok());
        assert_eq!(condition.length(), case.tokens.len());
        let (objects, view) = (case.objects(), case.view());
        let tokens = condition.tokens(&objects, view, None).unwrap();
        assert_eq!(tokens, case.tokens, "case {number}");
        let scene = condition.scene(&tokens).unwrap();
        assert_eq!(scene.crop.is_some(), case.encode_crop);
        let mut seen = objects.iter().take(golden.no_max_objects);
        for object in &scene.objects {
            let original = seen.find(|object| object.area.overlaps(view.area)).unwrap();
            assert_eq!(object.category, original.category);
            assert_eq!(object.is_group_of, original.is_group_of);
            assert_eq!(object.is_inside, original.is_inside);
        }
    }
}

#[test]
fn tokens_are_the_authors() {
    if let Some(path) = golden("layout/coco_tokens.json") {
        check(&path, 48);
    }
}

#[test]
fn tokens_of_the_carried_cases_are_the_authors() {
    check(&golden("layout/three_coco_cases.json").unwrap(), 3);
    check(&golden("layout/flags.json").unwrap(), 6);
}

#[test]
fn tokens_say_where_objects_are() {
    let golden = read(&golden("layout/three_coco_cases.json").unwrap());
    let case = golden
        .cases
        .iter()
        .find(|case| case.crop.is_none())
        .unwrap();
    let scene = golden.condition(case).scene(&case.tokens).unwrap();
    // Half the distance of two points of the grid of 90 rows and columns.
    let tolerance = 0.5 / 89.0 + 1e-9;
    for (object, original) in scene.objects.iter().zip(case.objects()) {
        let corners = |area: Area| [area.x, area.y, area.x + area.width, area.y + area.height];
        for (found, expected) in corners(object.area).into_iter().zip(corners(original.area)) {
            assert!((found - expected).abs() <= tolerance, "{found}, {expected}");
        }
    }
}

#[test]
fn a_window_is_a_crop() {
    let golden = read(&golden("layout/three_coco_cases.json").unwrap());
    let cases = golden.cases.iter().filter(|case| !case.flip);
    for case in cases {
        let picture = PictureLayout::new(&golden.condition(case), case.objects(), None).unwrap();
        // Of 60 rows and 20 columns, the part at 0.1, 0.2 of 0.6, 0.6.
        let tokens = match case.crop {
            Some(_) => picture.tokens_for(&(12..48), &(2..14), [60, 20]),
            None => picture.tokens_for(&(0..60), &(0..20), [60, 20]),
        };
        assert_eq!(tokens, case.tokens);
    }
}

#[test]
fn objects_of_coco_are_the_authors() {
    let (Some(tokens), Some(instances), Some(stuff)) = (
        golden("layout/coco_tokens.json"),
        golden("../data/coco_train/instances.json"),
        golden("../data/coco_train/stuff.json"),
    ) else {
        return;
    };
    let golden = read(&tokens);
    let mut files = CocoFiles {
        pictures: instances.with_file_name("images"),
        annotations: vec![instances, stuff],
        filter: ObjectFilter {
            // The golden file was made with this.
            min_area: 1e-3,
            ..ObjectFilter::COCO
        },
        crowds_are_groups: false,
    };
    let set = files.read().unwrap();
    assert_eq!(set.categories.len(), golden.no_classes);
    assert_eq!(
        (set.names()[0].as_str(), set.names()[1].as_str()),
        ("person", "traffic light")
    );
    for case in &golden.cases {
        let picture = set.pictures.iter().find(|picture| {
            let name = picture.path.file_stem().unwrap().to_string_lossy();
            name.trim_start_matches('0') == case.image_id
        });
        let picture = picture.expect("the picture is among them");
        assert!(picture.path.is_file());
        let expected = case.objects();
        assert_eq!(picture.objects.len(), expected.len());
        for (object, expected) in picture.objects.iter().zip(expected) {
            assert_eq!(object.category, expected.category);
            for (found, expected) in [
                (object.area.x, expected.area.x),
                (object.area.y, expected.area.y),
                (object.area.width, expected.area.width),
                (object.area.height, expected.area.height),
            ] {
                assert!((found - expected).abs() < 1e-12);
            }
        }
    }
    files.filter = ObjectFilter::COCO;
    assert_eq!(files.read().unwrap().len(), 48);
}
