use std::path::Path;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use lockkeeper_remotes::{Body, Log, Remote};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

/// `s3s-fs`: a server that people use, and whose conditions aren't atomic. It looks whether an object is there and then writes it,
/// so two writers can both find nothing.
#[derive(Clone)]
pub struct LyingS3(S3Service);

impl LyingS3 {
    /// Serves a folder, which gets a bucket called `bucket`. Requests must be signed with the keys, if there are some.
    pub fn new(folder: &Path, keys: Option<(&str, &str)>) -> Self {
        std::fs::create_dir_all(folder.join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
        if let Some((access_key, secret_key)) = keys {
            service.set_auth(SimpleAuth::from_single(access_key, secret_key));
        }
        Self(service.build())
    }
}

impl Remote for LyingS3 {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let response = self.0.call(request.map(s3s::Body::http_body_unsync)).await.unwrap();
        response.map(|body| body.boxed_unsync())
    }

    fn log(&self) -> Log {
        Log::default()
    }

    fn clear_log(&self) {}
}
