//! What the command is compared with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStoreExt as _, WriteMultipart};
use support::datastores::keys;
use tokio::io::AsyncReadExt as _;

use crate::store::BUCKET;

/// As many requests at once as the extension makes.
const IN_FLIGHT: usize = 16;
/// Objects up to this size go in one request, as the extension has it.
const WHOLE: u64 = 16 << 20;
/// The size of a part of a larger one, and how many of them are under way at once, likewise.
const PART: usize = 5 << 20;
const PARTS: usize = 4;

/// Whether the programs that this is compared with are here. Where root has Debian's packages, they are installed.
pub fn install() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.sh");
    let status = Command::new("bash").arg(script).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "rclone or rsync is missing");
    Ok(())
}

/// A native program on the crate `object_store` that uploads all files of a folder.
pub fn upload(folder: &Path, endpoint: &str, prefix: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Its client wants one, even where no TLS is spoken. An error means that there is one already.
    _ = rustls::crypto::ring::default_provider().install_default();
    let keys = keys();
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_region("eu-west-1")
        .with_access_key_id(keys.access_key)
        .with_secret_access_key(keys.secret_key)
        // It doesn't read each file twice to sign it, and neither does the host.
        .with_unsigned_payload(true)
        .build()?;
    let mut files: Vec<(PathBuf, u64)> = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let size = entry.metadata()?.len();
            files.push((entry.into_path(), size));
        }
    }
    runtime.block_on(async {
        let uploads = futures::stream::iter(&files).map(async |(path, size)| {
            let name = path.strip_prefix(folder)?.to_string_lossy();
            put(&store, &format!("{prefix}/{name}").into(), path, *size).await
        });
        uploads.buffer_unordered(IN_FLIGHT).try_collect::<Vec<()>>().await
    })?;
    Ok(())
}

async fn put(store: &AmazonS3, to: &object_store::path::Path, from: &Path, size: u64) -> Result<()> {
    if size <= WHOLE {
        store.put(to, tokio::fs::read(from).await?.into()).await?;
        return Ok(());
    }
    let mut file = tokio::fs::File::open(from).await?;
    let mut parts = WriteMultipart::new_with_chunk_size(store.put_multipart(to).await?, PART);
    loop {
        let mut piece = Vec::with_capacity(PART);
        if (&mut file).take(PART as u64).read_to_end(&mut piece).await? == 0 {
            break;
        }
        parts.wait_for_capacity(PARTS).await?;
        parts.put(piece.into());
    }
    parts.finish().await?;
    Ok(())
}

/// `rclone copy` of a folder to a prefix. Compares digests that the listing has, so it needs no request per file.
pub fn rclone(folder: &Path, endpoint: &str, prefix: &str) -> Command {
    let keys = keys();
    let mut command = Command::new("rclone");
    command
        .env_remove("AWS_CA_BUNDLE")
        .env("RCLONE_CONFIG", "/dev/null")
        .args(["copy", "--checksum", "--fast-list", "--s3-no-check-bucket", "--s3-list-version", "2"])
        .args(["--s3-provider", "Other"])
        .args(["--s3-access-key-id", &keys.access_key, "--s3-secret-access-key", &keys.secret_key])
        .args(["--s3-region", "eu-west-1", "--s3-endpoint", endpoint])
        .arg(folder)
        .arg(format!(":s3:{BUCKET}/{prefix}"));
    command
}
