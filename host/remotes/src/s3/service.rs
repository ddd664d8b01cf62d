//! The operations, as `s3s` wants them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::objects::{Condition, Object, Objects, hex, readable};
use super::{Options, listing};
use crate::Content;
use crate::shared::Shared;

/// The implementation behind the protocol.
pub(super) struct Service {
    pub(super) objects: Shared<Objects>,
    pub(super) options: Arc<Options>,
}

/// A body that has arrived.
pub(super) struct Received {
    pub(super) content: Content,
    pub(super) md5: [u8; 16],
}

/// What a client says that its body is.
#[derive(Default)]
pub(super) struct Announced {
    pub(super) length: Option<i64>,
    pub(super) md5: Option<String>,
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Service {
    pub(super) fn bucket(&self, name: &str) -> S3Result<()> {
        if name == self.options.bucket {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }

    /// Takes in a body and checks that it is what was announced.
    pub(super) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        announced: Announced,
    ) -> S3Result<Received> {
        let mut md5 = Md5::new();
        let mut sums = ChecksumHasher {
            crc32: announced.crc32.as_ref().map(|_| <_>::new()),
            crc32c: announced.crc32c.as_ref().map(|_| <_>::new()),
            sha1: announced.sha1.as_ref().map(|_| <_>::new()),
            sha256: announced.sha256.as_ref().map(|_| <_>::new()),
            crc64nvme: announced.crc64nvme.as_ref().map(|_| <_>::new()),
        };
        let seen = |bytes: &[u8]| {
            md5.update(bytes);
            sums.update(bytes);
        };
        let content = match body {
            Some(body) => Content::collect(body, seen)
                .await
                .map_err(|error| s3_error!(IncompleteBody, "The body could not be read: {error}"))?,
            None => Content::default(),
        };
        if announced.length.is_some_and(|length| u64::try_from(length) != Ok(content.size())) {
            return Err(s3_error!(IncompleteBody, "The body is shorter or longer than was said"));
        }
        let md5 = md5.finalize();
        if announced.md5.is_some_and(|wanted| wanted != STANDARD.encode(md5)) {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match"));
        }
        let sums = sums.finalize();
        for (wanted, is) in [
            (announced.crc32, sums.checksum_crc32),
            (announced.crc32c, sums.checksum_crc32c),
            (announced.crc64nvme, sums.checksum_crc64nvme),
            (announced.sha1, sums.checksum_sha1),
            (announced.sha256, sums.checksum_sha256),
        ] {
            if wanted != is {
                return Err(s3_error!(BadDigest, "The checksum you specified did not match"));
            }
        }
        Ok(Received { content, md5 })
    }

    /// Writes an object under a condition.
    pub(super) async fn store(
        &self,
        key: &str,
        content: Content,
        etag: String,
        condition: Condition,
    ) -> S3Result<ETag> {
        let check = |all: &Objects| condition.allows(all.objects.get(key));
        let write = |all: &mut Objects| {
            all.insert(key, content, etag.clone());
            Ok(ETag::Strong(etag))
        };
        self.objects.write(self.options.conditions, check, write).await
    }

    fn find(
        &self,
        key: &str,
        matches: Option<&ETagCondition>,
        none_matches: Option<&ETagCondition>,
    ) -> S3Result<Object> {
        let object = self.objects.read(|all| all.get(key).cloned())?;
        readable(&object, matches, none_matches)?;
        Ok(object)
    }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.bucket(&request.input.bucket)?;
        let page = self.options.page.min(1000);
        self.objects.read(|all| listing::list(all, page, request.input)).map(S3Response::new)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket)?;
        let object = self.find(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let whole = object.content.size();
        let (content, range) = match input.range {
            None => (object.content.clone(), None),
            Some(range) => {
                let range = range.check(whole).map_err(|_| s3_error!(InvalidRange))?;
                let said = format!("bytes {}-{}/{whole}", range.start, range.end.saturating_sub(1));
                (object.content.slice(range), Some(said))
            }
        };
        let length = i64::try_from(content.size()).ok();
        let pieces = content.pieces().map(Ok::<Bytes, std::convert::Infallible>);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(stream::iter(pieces))),
            content_length: length,
            content_range: range,
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket)?;
        let object = self.find(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(object.content.size()).ok(),
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket)?;
        let announced = Announced {
            length: input.content_length,
            md5: input.content_md5,
            crc32: input.checksum_crc32,
            crc32c: input.checksum_crc32c,
            crc64nvme: input.checksum_crc64nvme,
            sha1: input.checksum_sha1,
            sha256: input.checksum_sha256,
        };
        let received = self.receive(input.body, announced).await?;
        let condition = Condition { matches: input.if_match, none_matches: input.if_none_match };
        let etag = self.store(&input.key, received.content, hex(&received.md5), condition).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..PutObjectOutput::default() }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        // `s3s` 0.14 doesn't know these two on a copy; the service has them since 2025.
        let header = |name: &str| {
            let value =
                request.headers.get(name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
            value.transpose().map_err(|error| s3_error!(InvalidArgument, "{error}"))
        };
        let condition = Condition { matches: header("if-match")?, none_matches: header("if-none-match")? };
        let input = request.input;
        self.bucket(&input.bucket)?;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        self.bucket(bucket)?;
        let source = self.objects.read(|all| all.get(key).cloned())?;
        let matches = input.copy_source_if_match.as_ref();
        let none_matches = input.copy_source_if_none_match.as_ref();
        readable(&source, matches, none_matches).map_err(|_| super::objects::failed())?;
        let etag = super::objects::etag(&source.content);
        let etag = self.store(&input.key, source.content.clone(), etag, condition).await?;
        let result =
            CopyObjectResult { e_tag: Some(etag), last_modified: Some(source.modified()), ..<_>::default() };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket)?;
        let condition = Condition { matches: input.if_match, none_matches: None };
        let check = |all: &Objects| condition.allows(all.objects.get(&input.key));
        let write = |all: &mut Objects| {
            all.objects.remove(&input.key);
            Ok(())
        };
        self.objects.write(self.options.conditions, check, write).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        self.bucket(&input.bucket)?;
        if input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML, "More than 1,000 keys"));
        }
        let deleted = self.objects.step(|all| {
            let deleted = input.delete.objects.into_iter().map(|object| {
                all.objects.remove(&object.key);
                DeletedObject { key: Some(object.key), ..DeletedObject::default() }
            });
            deleted.collect()
        });
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..DeleteObjectsOutput::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.begin(request.input).map(S3Response::new)
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.add(request.input).await.map(S3Response::new)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.add_copy(request.input).map(S3Response::new)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(request.input).map(S3Response::new)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete(request.input).await.map(S3Response::new)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.abort(request.input).map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.uploads(request.input).map(S3Response::new)
    }
}
