//! A real server, started once for each test program, and looks into what it holds.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bson::{RawDocumentBuf, rawdoc};
use bytes::Bytes;
use futures_util::TryStreamExt;
use lockkeeper_sdk::{Body, Error, Object, Remote, Result};
use mongodb::blobs::Blobs;
use mongodb::client::Client;
use mongodb::store::{CHUNK, Collection, Store};
use mongodb::url::Target;
use mongodb::{Config, Mongo};
use pollster::block_on;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running SecantusDB. It ends with this program, however that ends: it watches a pipe.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts one on a folder, `None` if there is none on this machine.
    pub fn start(folder: &Path, arguments: &str) -> Option<Self> {
        Self::start_in(folder, arguments, None)
    }

    /// Starts one whose end removes `after`.
    fn start_in(folder: &Path, arguments: &str, after: Option<&Path>) -> Option<Self> {
        let python = installed()?;
        let mut last = None;
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let script = format!(
                "exec 3<&0; \"$0\" -m secantus --host 127.0.0.1 --port {} --storage-path \"$1\" --standalone {arguments} </dev/null >\"$1.log\" 2>&1 & \
                 cat <&3 >/dev/null; kill $!; wait; test -z \"$2\" || rm -rf \"$2\"",
                address.port()
            );
            let process = Command::new("sh")
                .arg("-c")
                .arg(script)
                .arg(&python)
                .arg(folder)
                .arg(after.unwrap_or(Path::new("")))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let server = Self { address, process };
            if server.answers() {
                return Some(server);
            }
            last = Some(std::fs::read_to_string(folder.with_extension("log")).unwrap_or_default());
        }
        panic!("SecantusDB does not start: {last:?}");
    }

    fn answers(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/bin/python");
    if python.exists() {
        return Some(python);
    }
    let missing = "SecantusDB is not installed: run tests/servers/venv.sh";
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Past the capture of the test's output: a skip has to be seen.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    None
}

/// The server of this test program.
pub fn server() -> Option<SocketAddr> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        // Nobody drops what is static: the server takes its folder away itself.
        let folder = tempfile::Builder::new().prefix("secantus-").tempdir().unwrap().keep();
        let server = Server::start_in(&folder.join("storage"), "", Some(&folder));
        if server.is_none() {
            std::fs::remove_dir(&folder).unwrap();
        }
        server
    });
    server.as_ref().map(|server| server.address)
}

/// A database of its own for each test.
pub struct Database {
    pub address: SocketAddr,
    pub name: String,
    pub chunk: usize,
}

impl Database {
    pub fn new() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Some(Self { address: server()?, name, chunk: CHUNK })
    }

    /// One with contents in chunks of a few bytes.
    pub fn tiny() -> Option<Self> {
        Some(Self { chunk: 8, ..Self::new()? })
    }

    pub fn at(&self, address: SocketAddr) -> Store {
        self.with(address, "")
    }

    fn with(&self, address: SocketAddr, options: &str) -> Store {
        let target = Target::parse(&format!("mongodb://{address}/?appName=test{options}"), None).unwrap();
        Store::new(Client::new(target), self.name.clone(), "lk".to_owned(), self.chunk)
    }

    pub fn remote_at(&self, address: SocketAddr) -> Mongo {
        Mongo::new(self.at(address))
    }

    pub fn remote_with(&self, address: SocketAddr, options: &str) -> Mongo {
        Mongo::new(self.with(address, options))
    }

    pub fn remote(&self) -> Mongo {
        self.remote_at(self.address)
    }

    /// Empties the collections, which is quicker than making others.
    pub fn clear(&self) {
        let store = self.at(self.address);
        for collection in [Collection::Files, Collection::Blobs, Collection::Chunks, Collection::Index] {
            block_on(store.delete_where(collection, rawdoc! {})).unwrap();
        }
    }

    /// Everything in a collection.
    pub fn all(&self, collection: Collection) -> Vec<RawDocumentBuf> {
        block_on(self.at(self.address).find_few(collection, rawdoc! {}, rawdoc! {})).unwrap()
    }

    /// Clears away what others left, however young it is.
    pub fn sweep(&self) {
        let store = self.at(self.address);
        let now = block_on(store.client().now()).unwrap();
        block_on(Blobs(&store).sweep(now + 60_000)).unwrap();
    }

    /// Panics unless every file has its content, and nothing else is there.
    pub fn check_whole(&self, context: &dyn std::fmt::Debug) {
        let remote = self.remote();
        let mut blobs = std::collections::BTreeSet::new();
        for file in self.all(Collection::Files) {
            let key = file.get_str("_id").unwrap();
            let content =
                content(&remote, key).unwrap().unwrap_or_else(|| panic!("{key} is gone: {context:?}"));
            let blob = file.get_str("blob").unwrap();
            if !blob.is_empty() {
                assert_eq!(blake3::hash(&content).to_hex().as_str(), blob, "{key}: {context:?}");
                blobs.insert(blob.to_owned());
            }
        }
        let mut uploads = std::collections::BTreeSet::new();
        for blob in self.all(Collection::Blobs) {
            let id = blob.get_str("_id").unwrap();
            assert!(blobs.contains(id), "a blob that nothing refers to: {:?}, {context:?}", show(&blob));
            assert!(blob.get_array("pending").unwrap().is_empty(), "a claim: {:?}, {context:?}", show(&blob));
            uploads.extend(blob.get_str("upload").ok().map(str::to_owned));
        }
        for document in self.all(Collection::Index) {
            let pending = document.get_array("pending").ok().into_iter().flatten();
            let announced =
                pending.map(|entry| entry.unwrap().as_document().unwrap().get_str("id").unwrap().to_owned());
            uploads.extend(announced);
            let trash = document.get_array("trash").ok().into_iter().flatten();
            uploads.extend(trash.map(|revision| revision.unwrap().as_str().unwrap().to_owned()));
            uploads.extend(document.get_str("revision").ok().map(str::to_owned));
        }
        for chunk in self.all(Collection::Chunks) {
            let upload = chunk.get_str("_id").unwrap().split('/').next().unwrap();
            assert!(uploads.contains(upload), "a chunk of nothing: {upload}, {context:?}");
        }
    }
}

pub fn show(document: &RawDocumentBuf) -> String {
    bson::Document::try_from(document).unwrap().to_string()
}

/// What a file contains.
pub fn content(remote: &Mongo, key: &str) -> Result<Option<Vec<u8>>> {
    block_on(async {
        match remote.get(key).await? {
            Some(object) => collect(object).await.map(Some),
            None => Ok(None),
        }
    })
}

pub async fn collect(object: Object<'_>) -> Result<Vec<u8>> {
    object
        .try_fold(Vec::new(), async |mut all, piece: Bytes| -> Result<_, Error> {
            all.extend(&piece[..]);
            Ok(all)
        })
        .await
}

pub fn body(content: &str) -> Body {
    Body::of(content.as_bytes().to_vec())
}

pub fn config(url: &str, password: Option<&str>) -> Config {
    Config {
        url: url.to_owned().into(),
        password: password.map(|password| password.to_owned().into()),
        database: Some("shop".to_owned()),
        prefix: None,
    }
}
