//! Multipart uploads. Nothing is visible before the upload is completed.

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::objects::{Condition, Objects, Part, etag, hex};
use super::service::{Announced, Service};
use crate::Content;

/// Every part but the last one has at least this many bytes.
const SMALLEST: u64 = 5 * 1024 * 1024;

impl Service {
    pub(super) fn begin(&self, input: CreateMultipartUploadInput) -> S3Result<CreateMultipartUploadOutput> {
        self.bucket(&input.bucket)?;
        let id = self.objects.step(|all| all.begin(&input.key));
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn add(&self, input: UploadPartInput) -> S3Result<UploadPartOutput> {
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
        let part = Part { content: received.content, md5: received.md5 };
        let etag = ETag::Strong(hex(&part.md5));
        self.keep(&input.upload_id, &input.key, input.part_number, part)?;
        Ok(UploadPartOutput { e_tag: Some(etag), ..UploadPartOutput::default() })
    }

    pub(super) fn add_copy(&self, input: UploadPartCopyInput) -> S3Result<UploadPartCopyOutput> {
        self.bucket(&input.bucket)?;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        self.bucket(bucket)?;
        let source = self.objects.read(|all| all.get(key).cloned())?;
        let content = match &input.copy_source_range {
            None => source.content,
            Some(range) => {
                let range =
                    Range::parse(range).map_err(|_| s3_error!(InvalidArgument, "copy source range"))?;
                let range = range.check(source.content.size()).map_err(|_| s3_error!(InvalidRange))?;
                source.content.slice(range)
            }
        };
        let mut md5 = Md5::new();
        content.pieces().for_each(|piece| md5.update(&piece));
        let etag = ETag::Strong(etag(&content));
        let part = Part { content, md5: md5.finalize() };
        self.keep(&input.upload_id, &input.key, input.part_number, part)?;
        let result = CopyPartResult { e_tag: Some(etag), ..CopyPartResult::default() };
        Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
    }

    fn keep(&self, id: &str, key: &str, number: i32, part: Part) -> S3Result<()> {
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000"));
        }
        self.objects.step(|all| {
            all.upload(id, key)?.parts.insert(number, part);
            Ok(())
        })
    }

    pub(super) fn parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        self.bucket(&input.bucket)?;
        let upload = self.objects.step(|all| all.upload(&input.upload_id, &input.key).cloned())?;
        let parts = upload.parts.iter().map(|(number, part)| s3s::dto::Part {
            part_number: Some(*number),
            e_tag: Some(ETag::Strong(hex(&part.md5))),
            size: i64::try_from(part.content.size()).ok(),
            ..s3s::dto::Part::default()
        });
        Ok(ListPartsOutput {
            parts: Some(parts.collect()),
            is_truncated: Some(false),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            ..ListPartsOutput::default()
        })
    }

    pub(super) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        self.bucket(&input.bucket)?;
        let (id, key) = (&input.upload_id, &input.key);
        let upload = self.objects.step(|all| all.upload(id, key).cloned())?;
        let named = input.multipart_upload.and_then(|named| named.parts).unwrap_or_default();
        if named.is_empty() {
            return Err(s3_error!(MalformedXML, "You must specify at least one part"));
        }
        if !named.is_sorted_by(|one, next| one.part_number < next.part_number) {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        let mut parts = Vec::new();
        for (at, part) in named.iter().enumerate() {
            let number = part.part_number.unwrap_or_default();
            let invalid = || s3_error!(InvalidPart, "One or more of the specified parts could not be found.");
            let kept = upload.parts.get(&number).ok_or_else(invalid)?;
            if part.e_tag.as_ref().is_none_or(|etag| etag.value() != hex(&kept.md5)) {
                return Err(invalid());
            }
            if kept.content.size() < SMALLEST && at + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall, "Your proposed upload is too small"));
            }
            parts.push(kept);
        }
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(&part.md5));
        let etag = format!("{}-{}", hex(&md5.finalize()), parts.len());
        let content = Content::concat(parts.iter().map(|part| &part.content));

        let condition = Condition { matches: input.if_match, none_matches: input.if_none_match };
        let check = |all: &Objects| condition.allows(all.objects.get(key));
        let write = |all: &mut Objects| {
            // Two requests may complete one upload; the second one finds it gone.
            all.upload(id, key)?;
            all.uploads.remove(id);
            all.insert(key, content, etag.clone());
            Ok(())
        };
        self.objects.write(self.options.conditions, check, write).await?;
        Ok(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    pub(super) fn abort(&self, input: AbortMultipartUploadInput) -> S3Result<AbortMultipartUploadOutput> {
        self.bucket(&input.bucket)?;
        self.objects.step(|all| {
            all.upload(&input.upload_id, &input.key)?;
            all.uploads.remove(&input.upload_id);
            Ok(AbortMultipartUploadOutput::default())
        })
    }

    pub(super) fn uploads(&self, input: ListMultipartUploadsInput) -> S3Result<ListMultipartUploadsOutput> {
        self.bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let uploads = self.objects.read(|all| {
            let matching = all.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
            let found = matching.map(|(id, upload)| MultipartUpload {
                upload_id: Some(id.clone()),
                key: Some(upload.key.clone()),
                ..MultipartUpload::default()
            });
            found.collect()
        });
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            uploads: Some(uploads),
            is_truncated: Some(false),
            ..ListMultipartUploadsOutput::default()
        })
    }
}
