//! The fields of resumable uploads: what a request says of itself, and what an answer says of the upload.

use crate::error::{Error, Result};
use crate::http::call::Head;
use crate::http::reply::RawReply;
use crate::store::image_uploads::Unfinished;
use http::StatusCode;
use serde_json::json;

pub const COMPLETE: &str = "upload-complete";
pub const OFFSET: &str = "upload-offset";
pub const LENGTH: &str = "upload-length";

pub fn too_long(size: u64) -> Error {
    Error::TooLarge(format!("More image data was sent than the {size} bytes that were announced"))
}

pub fn inconsistent(known: u64, said: u64) -> Error {
    Error::bad_request(format!("The upload has {known} bytes by what was said before, and {said} by this request"))
}

pub fn expect_media_type(head: &Head, expected: &str) -> Result<()> {
    let media_type = head.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type == expected {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format!("Invalid content type {media_type}")))
}

/// Does the request say that it brings the end?
pub fn is_last(head: &Head) -> Result<bool> {
    match head.header(COMPLETE).map(str::trim) {
        Some("?1") => Ok(true),
        Some("?0") => Ok(false),
        _ => Err(Error::bad_request("Upload-Complete must be ?1 or ?0")),
    }
}

pub fn number(head: &Head, name: &'static str) -> Result<Option<u64>> {
    let wrong = |_| Error::bad_request(format!("{name} is no number of bytes"));
    // A structured field's number ends at 15 digits, and so does what a database's can hold.
    let text = head.header(name).map(str::trim);
    text.map(|text| text.parse::<u64>().map_err(wrong)).transpose()?.map_or(Ok(None), |number| {
        if number < 1_000_000_000_000_000 { Ok(Some(number)) } else { Err(too_long(999_999_999_999_999)) }
    })
}

/// How many bytes the whole has, as far as this request says: by `Upload-Length`, or because it brings the end.
pub fn whole_size(head: &Head, carried: Option<u64>, start: u64, is_last: bool) -> Result<Option<u64>> {
    let announced = number(head, LENGTH)?;
    let ending = carried.filter(|_| is_last).map(|carried| start.saturating_add(carried));
    match (announced, ending) {
        (Some(announced), Some(ending)) if announced != ending => Err(inconsistent(announced, ending)),
        (announced, ending) => Ok(announced.or(ending)),
    }
}

/// How far the upload is, and how long it may wait.
pub fn progress(reply: RawReply, upload: &Unfinished, now: i64) -> RawReply {
    let left = upload.expires_at.seconds().saturating_sub(now).max(0);
    let reply = reply
        .header(COMPLETE, "?0")
        .header(OFFSET, &upload.received.to_string())
        .header("upload-limit", &format!("max-age={left}"));
    match upload.size {
        Some(size) => reply.header(LENGTH, &size.to_string()),
        None => reply,
    }
}

/// The bytes belong elsewhere: where, the draft's problem type says.
pub fn mismatch(expected: u64, provided: u64) -> RawReply {
    let problem = json!({
        "type": "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
        "title": "offset from request does not match offset of resource",
        "expected-offset": expected,
        "provided-offset": provided,
    });
    RawReply::bytes(StatusCode::CONFLICT, "application/problem+json", problem.to_string())
        .header(COMPLETE, "?0")
        .header(OFFSET, &expected.to_string())
}
