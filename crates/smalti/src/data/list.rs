//! Reading a list of pictures: a text file with one path per line, and a class behind a tab where there are classes.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The pictures of a list in its order, each with its class if it has one. Paths are relative to the list's folder;
/// blank lines and lines that begin with `#` are skipped.
///
/// # Errors
/// When the list cannot be read as text, or a line (named by number, from 1) has more than two columns or a path where
/// there is no file.
pub(super) fn read_list(list: &Path) -> Result<Vec<(PathBuf, Option<String>)>> {
    let file = File::open(list).map_err(|source| Error::io(list, source))?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut pictures = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|source| match source.kind() {
            ErrorKind::InvalidData => Error::file(
                list,
                "neither a folder, nor a picture, nor a list of pictures (a text file with one path per line)",
            ),
            _ => Error::io(list, source),
        })?;
        // Some editors begin a file with a byte order mark.
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let picture = parse_line(folder, line)
            .map_err(|message| Error::file(list, format!("line {}: {message}", index + 1)))?;
        pictures.push(picture);
    }
    Ok(pictures)
}

/// One line's path, found from `folder`, and its class; or what is wrong with the line.
fn parse_line(folder: &Path, line: &str) -> std::result::Result<(PathBuf, Option<String>), String> {
    let (name, class) = match line.split_once('\t') {
        Some((name, class)) => (name.trim(), Some(class.trim())),
        None => (line, None),
    };
    if class.is_some_and(|class| class.contains('\t')) {
        return Err("more than two columns (a path and a class, with a tab between them)".into());
    }
    let path = folder.join(name);
    if !path.is_file() {
        return Err(format!("no such file: {}", path.display()));
    }
    let class = class.filter(|class| !class.is_empty());
    Ok((path, class.map(str::to_string)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_give_paths_and_classes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("b c.png"), b"").unwrap();
        fs::write(root.join("a.png"), b"").unwrap();
        let list = root.join("train.txt");
        fs::write(
            &list,
            "\u{feff}# pictures\r\n\r\nb c.png\tsea\r\n  \na.png\t\n",
        )
        .unwrap();
        assert_eq!(
            read_list(&list).unwrap(),
            [
                (root.join("b c.png"), Some("sea".to_string())),
                (root.join("a.png"), None),
            ]
        );
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.png"), b"").unwrap();
        let list = folder.path().join("train.txt");
        let message = |text: &[u8]| {
            fs::write(&list, text).unwrap();
            read_list(&list).unwrap_err().to_string()
        };
        let missing = message(b"a.png\n\nb.png\n");
        assert!(missing.contains("train.txt: line 3: no such file"));
        assert!(missing.ends_with("b.png"));
        assert!(message(b"a.png\tx\ty\n").contains("line 1: more than two columns"));
        assert!(message(b"\xFF\xFE\x00binary").contains("nor a list of pictures"));
    }
}
