//! What pictures show, in words: captions from a table, or from text files beside the pictures.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rand::RngExt;

use super::table::{Row, Rows};
use crate::counted;
use crate::data::random::{Purpose, stream};
use crate::data::{Dataset, Item};
use crate::error::{Error, Result};

/// How many of the pictures without a caption an error names.
const NAMED: usize = 5;

/// The captions of every picture of a data set, in its order: at least one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    captions: Vec<Vec<String>>,
}

impl Captions {
    /// Reads a table: a row has a file, its caption, and perhaps more columns, which are left alone. A `.csv` file has
    /// commas between them and quotation marks where needed, any other has tabs. A file is named by its path below
    /// `data`, which is what [`Dataset::open`] was given (for a list or a single picture, by its path from the folder
    /// it lies in). A file in several rows has several captions. Skipped are blank lines, lines that begin with `#`,
    /// and files that are not in the data set, so that a first row with the names of the columns does no harm.
    ///
    /// # Errors
    /// A table that cannot be read (the line is named), or pictures without a caption: the first are named.
    pub fn from_table(dataset: &Dataset, data: &Path, table: &Path) -> Result<Self> {
        let text = fs::read_to_string(table).map_err(|source| unreadable(table, source))?;
        let root = root(data);
        let paths = dataset.items.iter().map(|item| item.path.as_path());
        let mut found: HashMap<&Path, Vec<String>> = paths.map(|path| (path, Vec::new())).collect();
        for row in rows(table, &text) {
            let read = row.and_then(file_and_caption);
            let read = read.map_err(|message| Error::file(table, message))?;
            if let Some((file, caption)) = read
                && let Some(captions) = found.get_mut(root.join(file).as_path())
            {
                captions.push(caption);
            }
        }
        let of = |item: &Item| found.get(item.path.as_path()).cloned().unwrap_or_default();
        let captions = dataset.items.iter().map(of).collect();
        Self::complete(captions, dataset, root, table)
    }

    /// Reads the text file beside every picture, of the same name but for its ending, `.txt`: a caption a line, without
    /// blank lines. `data` is what [`Dataset::open`] was given.
    ///
    /// # Errors
    /// A file that cannot be read, or pictures without a caption: the first are named.
    pub fn from_files(dataset: &Dataset, data: &Path) -> Result<Self> {
        let captions = dataset
            .items
            .iter()
            .map(|item| lines(&item.path.with_extension("txt")))
            .collect::<Result<Vec<_>>>()?;
        Self::complete(captions, dataset, root(data), data)
    }

    /// Makes sure that no picture is without a caption.
    fn complete(
        captions: Vec<Vec<String>>,
        dataset: &Dataset,
        root: &Path,
        place: &Path,
    ) -> Result<Self> {
        let without: Vec<&Item> = dataset
            .items
            .iter()
            .zip(&captions)
            .filter_map(|(item, captions)| captions.is_empty().then_some(item))
            .collect();
        if without.is_empty() {
            return Ok(Self { captions });
        }
        let name = |item: &&Item| {
            let inside = item.path.strip_prefix(root).unwrap_or(&item.path);
            inside.display().to_string()
        };
        let named: Vec<String> = without.iter().take(NAMED).map(name).collect();
        let more = if without.len() > NAMED { ", …" } else { "" };
        Err(Error::file(
            place,
            format!(
                "no caption for {} of {}: {}{more}",
                without.len(),
                counted(dataset.len(), "picture"),
                named.join(", ")
            ),
        ))
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.captions.len()
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.captions.is_empty()
    }

    /// All captions of picture number `item` of the data set, at least one.
    pub fn of(&self, item: usize) -> &[String] {
        &self.captions[item]
    }

    /// The caption to show picture number `item` with at a position of the stream of samples. It depends on nothing but
    /// the seed and the position.
    pub fn draw(&self, item: usize, seed: u64, position: u64) -> &str {
        let captions = self.of(item);
        let index = stream(seed, Purpose::Caption, position).random_range(0..captions.len());
        &captions[index]
    }
}

/// The folder that paths count from.
fn root(data: &Path) -> &Path {
    if data.is_dir() {
        data
    } else {
        data.parent().unwrap_or(Path::new(""))
    }
}

fn rows<'t>(table: &Path, text: &'t str) -> Rows<'t> {
    let is_csv = table
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    if is_csv {
        Rows::with_commas(text)
    } else {
        Rows::with_tabs(text)
    }
}

/// What a row holds; `None` for one that is blank, a remark, or lacks the caption.
fn file_and_caption(row: Row) -> std::result::Result<Option<(String, String)>, String> {
    match row.second {
        Some(caption) if caption.is_empty() => Ok(None),
        Some(caption) => Ok(Some((row.first, caption))),
        None if row.first.is_empty() || row.first.starts_with('#') => Ok(None),
        None => Err(format!(
            "line {}: only one column (a file and its caption, with a tab or, in a .csv file, a comma between them)",
            row.line
        )),
    }
}

/// The captions in the text file at `path`; none if there is no such file.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(unreadable(path, source)),
    };
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_string).collect())
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::InvalidData => Error::file(path, "not a text in UTF-8"),
        _ => Error::io(path, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A folder with pictures of these names and its data set.
    fn pictures(names: &[&str]) -> (TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        (folder, dataset)
    }

    fn from_table(folder: &TempDir, dataset: &Dataset, name: &str, text: &str) -> Result<Captions> {
        let table = folder.path().join(name);
        fs::write(&table, text).unwrap();
        Captions::from_table(dataset, folder.path(), &table)
    }

    #[test]
    fn a_table_gives_each_picture_its_captions() {
        let (folder, dataset) = pictures(&["sea/b c.jpg", "a.png"]);
        let tabs = "# captions\nfile\tcaption\n\nsea/b c.jpg\twaves, high\tx\na.png\tone\nz.png\tnobody\na.png\ttwo\n";
        let captions = from_table(&folder, &dataset, "captions.tsv", tabs).unwrap();
        assert_eq!(captions.len(), 2);
        assert_eq!(captions.of(0), ["one", "two"]);
        assert_eq!(captions.of(1), ["waves, high"]);
        let commas = "image,caption\n./a.png,one\na.png,two\nsea/b c.jpg,\"waves, high\"\n";
        let same = from_table(&folder, &dataset, "captions.CSV", commas).unwrap();
        assert_eq!(same, captions);
    }

    #[test]
    fn text_files_beside_pictures_have_a_caption_a_line() {
        let (folder, dataset) = pictures(&["a.b.png", "sub/c.jpg"]);
        fs::write(folder.path().join("a.b.txt"), "\u{feff} one\r\n\n two \n").unwrap();
        fs::write(folder.path().join("sub/c.txt"), "three").unwrap();
        let captions = Captions::from_files(&dataset, folder.path()).unwrap();
        assert_eq!(captions.of(0), ["one", "two"]);
        assert_eq!(captions.of(1), ["three"]);
        fs::write(folder.path().join("sub/c.txt"), b"\xFF").unwrap();
        let error = Captions::from_files(&dataset, folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("c.txt: not a text in UTF-8"));
    }

    #[test]
    fn the_first_pictures_without_a_caption_are_named() {
        let names: Vec<String> = (0..9).map(|number| format!("{number}.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (folder, dataset) = pictures(&names);
        let text = "0.png\tzero\n1.png\t \n8.png\teight\n";
        let error = from_table(&folder, &dataset, "captions.txt", text).unwrap_err();
        let end = "no caption for 7 of 9 pictures: 1.png, 2.png, 3.png, 4.png, 5.png, …";
        assert!(error.to_string().ends_with(end), "{error}");
        let error = Captions::from_files(&dataset, folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("no caption for 9 of 9"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_one_column_are_named_by_line() {
        let (folder, dataset) = pictures(&["a.png"]);
        let error = from_table(&folder, &dataset, "captions.tsv", "\na.png,one\n").unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("captions.tsv: line 2: only one column"),
            "{message}"
        );
    }

    #[test]
    fn seed_and_position_decide_between_captions() {
        let (folder, dataset) = pictures(&["a.png", "b.png"]);
        let text = "a.png\t0\na.png\t1\na.png\t2\nb.png\tonly\n";
        let captions = from_table(&folder, &dataset, "captions.tsv", text).unwrap();
        let drawn: Vec<&str> = (0..300).map(|place| captions.draw(0, 7, place)).collect();
        for caption in captions.of(0) {
            let count = drawn.iter().filter(|drawn| *drawn == caption).count();
            assert!((60..140).contains(&count), "{count}");
        }
        assert_eq!(captions.draw(0, 7, 5), drawn[5]);
        let other: Vec<&str> = (0..300).map(|place| captions.draw(0, 8, place)).collect();
        assert_ne!(drawn, other);
        assert_eq!(captions.draw(1, 7, 5), "only");
    }
}
