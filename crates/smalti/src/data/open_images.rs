//! Objects from the tables of Open Images (`taming/data/annotated_objects_open_images.py`). The table of boxes has up
//! to fourteen million rows and is read row by row.

mod choice;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

pub use choice::CategoryChoice;

use super::objects::{Area, Category, Object, ObjectFilter, ObjectSet, PictureObjects};
use crate::error::{Error, Result};

/// The columns of the table of boxes that are read; there may be others.
const COLUMNS: [&str; 10] = [
    "ImageID",
    "LabelName",
    "XMin",
    "XMax",
    "YMin",
    "YMax",
    "IsOccluded",
    "IsGroupOf",
    "IsDepiction",
    "IsInside",
];

/// No row of a table is longer, in bytes. The real ones have less than 300.
const LONGEST_ROW: u64 = 1 << 16;

/// The category that comes last although it is not the last in order: the authors added it to a numbering that was in
/// use. It is the suitcase.
const LATE: &str = "/m/01s55n";

/// Where the files of a data set are, and how they are read.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenImagesFiles {
    /// The table of categories: id and name.
    pub classes: PathBuf,
    /// The table of boxes.
    pub annotations: PathBuf,
    /// The folder of the pictures, which are called `{id}.jpg`.
    pub pictures: PathBuf,
    /// Which objects and pictures are used.
    pub filter: ObjectFilter,
    /// Which categories are used.
    pub choice: CategoryChoice,
}

impl OpenImagesFiles {
    /// A split of Open Images v6 (`train`, `validation`, `test`) under its own names in a folder, with the authors'
    /// choices.
    pub fn in_folder(folder: &Path, split: &str) -> Self {
        let annotations = match split {
            "train" => "oidv6-train-annotations-bbox.csv".to_string(),
            _ => format!("{split}-annotations-bbox.csv"),
        };
        Self {
            classes: folder.join("class-descriptions-boxable.csv"),
            annotations: folder.join(annotations),
            pictures: folder.join(split),
            filter: ObjectFilter::OPEN_IMAGES,
            choice: CategoryChoice::published(),
        }
    }

    /// Reads the objects of all pictures. Categories are numbered in the order of their ids, the suitcase last, as in
    /// the authors' models. Pictures come in the order of the table. What the table does not know of an object (-1)
    /// counts as true, as it did for the authors.
    ///
    /// # Errors
    /// When a file cannot be read, a row of it (named by its line) cannot be understood, or no picture passes the
    /// filter. Whether the pictures can be read is found out only when they are.
    pub fn read(&self) -> Result<ObjectSet> {
        if !self.pictures.is_dir() {
            return Err(Error::file(&self.pictures, "no such folder of pictures"));
        }
        let categories = self.categories()?;
        let pictures = self.objects(&categories)?;
        ObjectSet::filtered(pictures, categories, self.filter, &self.annotations)
    }

    /// The categories by number.
    fn categories(&self) -> Result<Vec<Category>> {
        let mut table = Table::open(&self.classes)?;
        let mut names: HashMap<String, String> = HashMap::new();
        while table.next_row()? {
            let Some((id, name)) = table.row().split_once(',') else {
                return Err(table.wrong("an id and a name with a comma between them are expected"));
            };
            let (id, name) = (id.trim(), name.trim().trim_matches('"'));
            // Newer files have a heading.
            if id != COLUMNS[1] && self.choice.has(id, name) {
                names.insert(id.to_string(), name.to_string());
            }
        }
        let mut categories: Vec<Category> = names
            .into_iter()
            .map(|(id, name)| Category { id, name })
            .collect();
        categories.sort_by(|left, right| {
            let rank = |category: &Category| category.id == LATE;
            (rank(left), &left.id).cmp(&(rank(right), &right.id))
        });
        if categories.is_empty() {
            return Err(Error::file(
                &self.classes,
                "none of the categories is in it",
            ));
        }
        Ok(categories)
    }

    /// The objects of every picture that has any.
    fn objects(&self, categories: &[Category]) -> Result<Vec<PictureObjects>> {
        let numbers: HashMap<&str, u32> = categories
            .iter()
            .zip(0..)
            .map(|(category, number)| (category.id.as_str(), number))
            .collect();
        let mut table = Table::open(&self.annotations)?;
        let Some(columns) = table.columns()? else {
            return Err(Error::file(&self.annotations, "the table is empty"));
        };
        let mut pictures: Vec<PictureObjects> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        while table.next_row()? {
            let row = Row::parse(table.row(), &columns).map_err(|message| table.wrong(&message))?;
            let Some(&category) = numbers.get(self.choice.counted_as(row.label)) else {
                continue;
            };
            if !self.filter.keeps(row.area) {
                continue;
            }
            let index = match by_id.get(row.image) {
                Some(&index) => index,
                None => {
                    let path = self.picture(row.image).map_err(|text| table.wrong(&text))?;
                    by_id.insert(row.image.to_string(), pictures.len());
                    pictures.push(PictureObjects {
                        path,
                        objects: Vec::new(),
                    });
                    pictures.len() - 1
                }
            };
            pictures[index].objects.push(row.object(category));
        }
        Ok(pictures)
    }

    /// The file of a picture, or what is wrong with its id.
    fn picture(&self, id: &str) -> std::result::Result<PathBuf, String> {
        let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(ordinary) {
            return Err(format!("{id:?} is not the id of a picture"));
        }
        Ok(self.pictures.join(format!("{id:0>16}.jpg")))
    }
}

/// One row of the table of boxes.
struct Row<'a> {
    image: &'a str,
    label: &'a str,
    area: Area,
    /// Occluded, group, depiction, inside.
    flags: [bool; 4],
}

impl<'a> Row<'a> {
    /// A row whose fields are where `columns` says; or what is wrong with it.
    fn parse(row: &'a str, columns: &[usize; 10]) -> std::result::Result<Self, String> {
        let fields: Vec<&str> = row.split(',').map(str::trim).collect();
        if let Some(missing) = columns.iter().position(|&place| place >= fields.len()) {
            return Err(format!("it has no {}", COLUMNS[missing]));
        }
        let field = |column: usize| fields[columns[column]];
        let number = |column: usize| match field(column).parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!(
                "{} is {:?}, which is no number",
                COLUMNS[column],
                field(column)
            )),
        };
        let (x, right, y, bottom) = (number(2)?, number(3)?, number(4)?, number(5)?);
        if right < x || bottom < y {
            return Err("the box ends before it begins".to_string());
        }
        let mut flags = [false; 4];
        for (flag, column) in flags.iter_mut().zip(6..) {
            *flag = match field(column) {
                "0" => false,
                "1" | "-1" => true,
                other => {
                    let name = COLUMNS[column];
                    return Err(format!("{name} is {other:?}; it is 0, 1 or -1"));
                }
            };
        }
        Ok(Self {
            image: field(0),
            label: field(1),
            area: Area {
                x,
                y,
                width: right - x,
                height: bottom - y,
            },
            flags,
        })
    }

    fn object(&self, category: u32) -> Object {
        let [is_occluded, is_group_of, is_depiction, is_inside] = self.flags;
        Object {
            category,
            area: self.area,
            is_group_of,
            is_occluded,
            is_depiction,
            is_inside,
        }
    }
}

/// A text file with a row per line.
struct Table<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    row: String,
    /// The number of the current row, from 1.
    line: usize,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        Ok(Self {
            path,
            reader: BufReader::with_capacity(1 << 20, file),
            row: String::new(),
            line: 0,
        })
    }

    /// Goes on to the next row that is not empty, if there is one.
    fn next_row(&mut self) -> Result<bool> {
        loop {
            self.row.clear();
            self.line += 1;
            let mut limited = Read::take(&mut self.reader, LONGEST_ROW);
            let bytes = match limited.read_line(&mut self.row) {
                Ok(bytes) => bytes as u64,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(self.wrong("it is not text"));
                }
                Err(error) => return Err(Error::io(self.path, error)),
            };
            if bytes == LONGEST_ROW {
                return Err(self.wrong(&format!("it is longer than {LONGEST_ROW} bytes")));
            }
            if bytes == 0 || !self.row().is_empty() {
                return Ok(bytes > 0);
            }
        }
    }

    /// The current row.
    fn row(&self) -> &str {
        self.row.trim_start_matches('\u{feff}').trim()
    }

    /// Which fields of a row hold [`COLUMNS`], from the heading, which is the first row.
    fn columns(&mut self) -> Result<Option<[usize; 10]>> {
        if !self.next_row()? {
            return Ok(None);
        }
        let mut places = [0; 10];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let found = self.row().split(',').position(|field| field.trim() == name);
            *place = found.ok_or_else(|| self.wrong(&format!("there is no column {name}")))?;
        }
        Ok(Some(places))
    }

    /// An error about the current row.
    fn wrong(&self, message: &str) -> Error {
        Error::file(self.path, format!("line {}: {message}", self.line))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const CLASSES: &str = "\
        /m/01s55n,Suitcase\r\n/m/04yx4,Man\n/m/01g317,Person\n/m/0bt9lr,Dog\n\n\
        /m/011q46kg,Container\n/m/04bcr3,\"Table\"\n";

    const BOXES: &str = "\
        ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,\
        IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,XClick1X\n\
        00ab,xclick,/m/04yx4,1,0.25,0.75,0.0,0.5,1,0,0,-1,0,0.5\n\
        00ab,xclick,/m/0bt9lr,1,0.0,0.5,0.5,1.0,0,1,1,0,0,0.5\n\
        00cd,xclick,/m/01s55n,1,0.0,1.0,0.0,1.0,0,0,0,0,1,0.5\n\
        00ab,xclick,/m/011q46kg,1,0.0,1.0,0.0,1.0,0,0,0,0,0,0.5\n\
        00ab,xclick,/m/0bt9lr,1,0.0,0.01,0.5,0.501,0,0,0,0,0,0.5\r\n";

    fn files(folder: &TempDir, classes: &str, boxes: &str) -> OpenImagesFiles {
        let mut files = OpenImagesFiles::in_folder(folder.path(), "train");
        fs::write(&files.classes, classes).unwrap();
        fs::write(&files.annotations, boxes).unwrap();
        fs::create_dir_all(&files.pictures).unwrap();
        files.filter.min_objects = 1;
        files
    }

    fn message(classes: &str, boxes: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let error = files(&folder, classes, boxes).read().unwrap_err();
        error.to_string()
    }

    #[test]
    fn the_tables_become_objects() {
        let folder = tempfile::tempdir().unwrap();
        let set = files(&folder, CLASSES, BOXES).read().unwrap();
        // The man is a person, the container is not allowed, and the suitcase comes last.
        assert_eq!(set.names(), ["Person", "Table", "Dog", "Suitcase"]);
        assert_eq!(set.len(), 2);
        let first = &set.pictures[0];
        assert!(first.path.ends_with("train/00000000000000ab.jpg"));
        let expected = Object {
            category: 0,
            area: Area {
                x: 0.25,
                y: 0.0,
                width: 0.5,
                height: 0.5,
            },
            is_group_of: false,
            is_occluded: true,
            is_depiction: true,
            is_inside: false,
        };
        assert_eq!(first.objects[0], expected);
        // The smallest box is too small.
        assert_eq!(first.objects.len(), 2);
        assert!(first.objects[1].category == 2 && first.objects[1].is_group_of);
        let second = &set.pictures[1].objects[0];
        assert!(second.category == 3 && second.is_inside && !second.is_occluded);
    }

    #[test]
    fn any_categories_can_be_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&folder, CLASSES, BOXES);
        files.choice = CategoryChoice::all();
        let set = files.read().unwrap();
        let names = ["Container", "Person", "Table", "Man", "Dog", "Suitcase"];
        assert_eq!(set.names(), names);
        assert_eq!(set.pictures[0].objects.len(), 3);
        let headed = format!("LabelName,DisplayName\n{CLASSES}");
        fs::write(&files.classes, headed).unwrap();
        assert_eq!(files.read().unwrap().names(), names);
    }

    #[test]
    fn errors_name_the_line() {
        let changed = |from: &str, to: &str| {
            assert!(BOXES.contains(from));
            message(CLASSES, &BOXES.replacen(from, to, 1))
        };
        assert!(changed("0.75", "1e999").contains("bbox.csv: line 2: XMax is \"1e999\""));
        assert!(changed("0.75", "").contains("line 2: XMax is \"\""));
        assert!(changed("0.75", "0.2").contains("line 2: the box ends before"));
        assert!(changed("0.75", "NaN").contains("line 2: XMax is \"NaN\""));
        assert!(changed(",1,1,0,0,", ",1,2,0,0,").contains("line 3: IsGroupOf is \"2\""));
        assert!(changed("00cd", "../a").contains("line 4: \"../a\" is not the id"));
        assert!(changed("IsInside", "Inside").contains("line 1: there is no column IsInside"));
        let short = changed("1.0,0,0,0,0,1,0.5", "1.0,0");
        assert!(short.contains("line 4: it has no IsGroupOf"), "{short}");
        assert!(message(CLASSES, "").contains("the table is empty"));
        assert!(message("nothing\n", BOXES).contains("line 1: an id and a name"));
        assert!(message("a,b\n", BOXES).contains("none of the categories"));
        let long = format!("{BOXES}{}", "x".repeat(1 << 17));
        assert!(message(CLASSES, &long).contains("line 7: it is longer than"));
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder, CLASSES, BOXES);
        fs::write(&files.annotations, b"\xFF\xFE\x00binary").unwrap();
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains("line 1: it is not text"), "{error}");
    }
}
