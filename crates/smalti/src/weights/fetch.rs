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
use super::catalogue::{self, Network, Source};
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
/// [`Error::Input`]: for an unknown name, or, when there is no such file and no download, with every way to get one.
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
/// [`Error::Input`]: for an unknown name, when there is no cache folder, or when a download fails or is not the published file.
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
    let name = network.name;
    let files: Vec<&str> = network.sources.iter().map(|source| source.file).collect();
    Error::input(format!(
        "the weights `{name}` ({}) are not on this machine and could not be downloaded: {cause}\n\
         Any one of these helps:\n  \
         1. with a network connection: smalti weights fetch {name}\n  \
         2. from files you have (such as {}): smalti weights import FILE... --name {name}\n  \
         3. a file for this run only: --perceptual FILE\n  \
         4. to do without: --perceptual none",
        network.purpose,
        files.join(" and ")
    ))
}

/// [`fetch`] with everything from the environment given.
fn fetch_into(
    folder: &Path,
    network: &Network,
    mirror: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf> {
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
    let (architecture, tensors) = import::import_lpips(&files)?;
    let path = cache::weights_file(folder, network.name);
    import::save(architecture, &tensors, &path)?;
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
        return Err(Error::input(format!(
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
    let failed = |why: String| Error::input(format!("cannot download {url}: {why}"));
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
    let mut body = response.body_mut().as_reader();
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
    let found = hexadecimal(&digest.finalize());
    if found != source.sha256 {
        return Err(failed(format!(
            "this is not the published {}: its SHA-256 is {found}, but should be {}",
            source.file, source.sha256
        )));
    }
    Ok(())
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
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};

    use super::super::catalogue::{Architecture, Part};
    use super::super::import::tests::network_of;
    use super::*;
    use crate::checkpoint::{TensorMap, write_tensors};

    /// What the test server answers to a path.
    struct Answer {
        announced: Option<usize>,
        body: Vec<u8>,
    }

    impl Answer {
        fn whole(body: &[u8]) -> Self {
            Self {
                announced: Some(body.len()),
                body: body.to_vec(),
            }
        }
    }

    /// Serves the answers on a port of the loopback device, one connection a request, until the test process ends.
    fn serve(answers: Vec<(&str, Answer)>) -> String {
        let answers: BTreeMap<String, Answer> = answers
            .into_iter()
            .map(|(path, answer)| (path.to_owned(), answer))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up early is part of the tests.
                let _ = answer(&answers, stream);
            }
        });
        format!("http://{address}")
    }

    fn answer(answers: &BTreeMap<String, Answer>, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let Some(found) = answers.get(path) else {
            return stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        };
        let length = match found.announced {
            Some(length) => format!("Content-Length: {length}\r\n"),
            None => String::new(),
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n"
        )?;
        stream.write_all(&found.body)
    }

    fn source(path: &str, body: &[u8], part: Part) -> Source {
        Source {
            url: format!("https://published.invalid/{path}").leak(),
            file: path.to_owned().leak(),
            sha256: hexadecimal(&Sha256::digest(body)).leak(),
            bytes: body.len() as u64,
            part,
        }
    }

    /// Downloads `hello.bin` from a server with one answer, and returns what was written or the error's text.
    fn get(
        expected: &[u8],
        answer: Answer,
    ) -> std::result::Result<(Vec<u8>, Vec<Progress>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.bin");
        let source = source("hello.bin", expected, Part::Heads);
        let mirror = serve(vec![("/hello.bin", answer)]);
        let url = published_at(&source, Some(&mirror)).unwrap();
        let mut heard = Vec::new();
        download(&source, &url, &path, &mut |progress| heard.push(progress))
            .map_err(|error| error.to_string())?;
        Ok((std::fs::read(&path).unwrap(), heard))
    }

    #[test]
    fn a_published_file_arrives_whole_and_progress_is_told() {
        let body: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        let (written, heard) = get(&body, Answer::whole(&body)).unwrap();
        assert!(written == body);
        let last = heard.last().unwrap();
        assert_eq!(last.file, "hello.bin");
        assert_eq!((last.received, last.total), (200_000, Some(200_000)));
        assert!(
            heard
                .windows(2)
                .all(|pair| pair[0].received < pair[1].received)
        );
    }

    #[test]
    fn a_length_the_server_does_not_announce_is_no_hindrance() {
        let unannounced = Answer {
            announced: None,
            body: b"hello".to_vec(),
        };
        assert_eq!(get(b"hello", unannounced).unwrap().0, b"hello");
    }

    #[test]
    fn another_file_of_the_same_size_is_refused() {
        let text = get(b"hello", Answer::whole(b"jello")).unwrap_err();
        assert!(text.contains("cannot download http://127.0.0.1:"), "{text}");
        assert!(
            text.contains("this is not the published hello.bin"),
            "{text}"
        );
        assert!(
            text.contains(&hexadecimal(&Sha256::digest(b"hello"))),
            "{text}"
        );
    }

    #[test]
    fn files_of_another_size_are_refused() {
        let text = get(b"hello", Answer::whole(b"<html>")).unwrap_err();
        assert!(
            text.contains("offers 6 bytes, but hello.bin has 5"),
            "{text}"
        );
        let endless = Answer {
            announced: None,
            body: vec![0; 1000],
        };
        let text = get(b"hello", endless).unwrap_err();
        assert!(text.contains("more than the 5 bytes"), "{text}");
    }

    #[test]
    fn a_truncated_body_is_refused() {
        for announced in [Some(5), None] {
            let cut = Answer {
                announced,
                body: b"hel".to_vec(),
            };
            let text = get(b"hello", cut).unwrap_err();
            assert!(text.contains("the connection ended after"), "{text}");
            assert!(text.contains("of 5 bytes"), "{text}");
        }
    }

    #[test]
    fn a_file_the_server_lacks_and_a_server_that_is_not_there_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let source = source("hello.bin", b"hello", Part::Heads);
        let path = folder.path().join("hello.bin");
        let nothing = serve(Vec::new());
        let error =
            download(&source, &format!("{nothing}/hello.bin"), &path, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");

        // A port that was free a moment ago refuses connections.
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = download(
            &source,
            &format!("http://{free}/hello.bin"),
            &path,
            &mut |_| (),
        )
        .unwrap_err();
        assert!(!error.to_string().contains("404"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_mirror_replaces_scheme_and_host_only() {
        let heads = Architecture::Vgg.network().source(Part::Heads).unwrap();
        assert_eq!(published_at(heads, None).unwrap(), heads.url);
        assert_eq!(
            published_at(heads, Some("http://mirror:8000/files/")).unwrap(),
            "http://mirror:8000/files/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth"
        );
        let text = published_at(heads, Some("mirror")).unwrap_err().to_string();
        assert!(text.contains("SMALTI_WEIGHTS_MIRROR"), "{text}");
        assert!(is_on_this_machine("http://127.0.0.1:80/x"));
        assert!(is_on_this_machine("http://localhost"));
        assert!(!is_on_this_machine("http://localhost.example.org/x"));
    }

    fn file_of(folder: &Path, tensors: &TensorMap) -> Vec<u8> {
        let path = folder.join("part.safetensors");
        write_tensors(&path, tensors, &BTreeMap::new()).unwrap();
        std::fs::read(&path).unwrap()
    }

    /// A network of zeros-and-small-numbers in two published files, and a mirror that has them.
    fn published(folder: &Path) -> (Network, String, TensorMap) {
        let tensors = network_of(Architecture::Alex);
        let (features, heads): (TensorMap, TensorMap) = tensors
            .clone()
            .into_iter()
            .partition(|(key, _)| key.starts_with("features."));
        let (features, heads) = (file_of(folder, &features), file_of(folder, &heads));
        let sources = vec![
            source("features.safetensors", &features, Part::Features),
            source("heads.safetensors", &heads, Part::Heads),
        ];
        let network = Network {
            sources: sources.leak(),
            ..*Architecture::Alex.network()
        };
        let mirror = serve(vec![
            ("/features.safetensors", Answer::whole(&features)),
            ("/heads.safetensors", Answer::whole(&heads)),
        ]);
        (network, mirror, tensors)
    }

    #[test]
    fn a_fetched_network_is_converted_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (network, mirror, tensors) = published(folder.path());
        let cache = folder.path().join("new").join("cache");
        let path = fetch_into(&cache, &network, Some(&mirror), &mut |_| ()).unwrap();
        assert_eq!(path, cache.join("weights").join("lpips-alex.safetensors"));
        let (architecture, read) = import::import_lpips(&[&path]).unwrap();
        assert_eq!(architecture, Architecture::Alex);
        assert!(read == tensors);
        let left: Vec<_> = std::fs::read_dir(&cache).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "only the weights stay: {left:?}");
        assert_eq!(present(&network, None, Some(&cache)).unwrap(), path);
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (network, _, _) = published(folder.path());
        let empty = serve(Vec::new());
        let cache = folder.path().join("cache");
        assert!(fetch_into(&cache, &network, Some(&empty), &mut |_| ()).is_err());
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    }

    #[test]
    fn folders_are_searched_in_the_documented_order() {
        let folder = tempfile::tempdir().unwrap();
        let network = Architecture::Vgg.network();
        let [assets, cache] = ["assets", "cache"].map(|name| folder.path().join(name));
        for place in [&cache, &assets] {
            let file = cache::weights_file(place, network.name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, b"").unwrap();
            assert_eq!(present(network, Some(&assets), Some(&cache)), Some(file));
        }
    }

    #[test]
    fn the_last_error_names_every_way() {
        let text = unavailable(Architecture::Vgg.network(), &Error::input("no route")).to_string();
        for part in [
            "could not be downloaded: no route",
            "smalti weights fetch lpips-vgg",
            "vgg16-397923af.pth and vgg.pth",
            "smalti weights import FILE... --name lpips-vgg",
            "--perceptual FILE",
            "--perceptual none",
        ] {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    }
}
