//! Finding the pictures in a folder and everything below it.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The endings of file names taken for pictures, in lower case; upper case counts too.
pub(super) const EXTENSIONS: [&str; 8] =
    ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

/// Whether a file name ends like a picture's.
pub(super) fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// All pictures below `root`, sorted by path. Hidden files and folders are left out. Links are followed, but no folder is
/// entered twice: a link back up ends there, and a folder that also exists under its own name is found under that one.
///
/// # Errors
/// When a folder cannot be listed.
pub(super) fn pictures_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    let mut entered = HashSet::new();
    // Real folders go to the front and linked ones to the back, so that real names win.
    let mut folders = VecDeque::from([root.to_path_buf()]);
    while let Some(folder) = folders.pop_front() {
        let identity = fs::canonicalize(&folder).map_err(|source| Error::io(&folder, source))?;
        if !entered.insert(identity) {
            continue;
        }
        for path in visible_entries(&folder)? {
            if path.is_dir() {
                if path.is_symlink() {
                    folders.push_back(path);
                } else {
                    folders.push_front(path);
                }
            } else if is_picture(&path) && path.is_file() {
                pictures.push(path);
            }
        }
    }
    pictures.sort();
    Ok(pictures)
}

/// The entries of a folder whose names do not begin with a dot, sorted: which of two links to a folder comes first must
/// not depend on the file system.
fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let entries = fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| Error::io(folder, source))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        pictures_below(root)
            .unwrap()
            .iter()
            .map(|path| {
                let name = path.strip_prefix(root).unwrap();
                name.display().to_string().replace('\\', "/")
            })
            .collect()
    }

    #[test]
    fn pictures_are_found_sorted_and_hidden_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b.PNG", "a.jpeg", "notes.txt", ".hidden.png", "no_ending"] {
            touch(root.join(name));
        }
        touch(root.join("sub").join("c.tif"));
        touch(root.join(".cache").join("d.png"));
        assert_eq!(names(root), ["a.jpeg", "b.PNG", "sub/c.tif"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once() {
        use std::os::unix::fs::symlink;

        let outside = tempfile::tempdir().unwrap();
        touch(outside.path().join("far.png"));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        touch(root.join("z").join("real.png"));
        symlink(root, root.join("z").join("up")).unwrap();
        symlink(root.join("z"), root.join("alias")).unwrap();
        symlink(outside.path(), root.join("linked")).unwrap();
        symlink(root.join("gone.png"), root.join("broken.png")).unwrap();
        assert_eq!(names(root), ["linked/far.png", "z/real.png"]);
    }
}
