//! The same over a TCP socket, without the host's HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, said};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn exchange(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(String, Vec<u8>)],
    content: &[u8],
) -> Result<Answer, String> {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n").into_bytes();
    if method == "PUT" {
        request.extend(format!("content-length: {}\r\n", content.len()).into_bytes());
    }
    for (name, value) in headers {
        request.extend(name.bytes().chain(*b": ").chain(value.iter().copied()).chain(*b"\r\n"));
    }
    request.extend(b"\r\n");
    request.extend(content);

    let mut stream = TcpStream::connect(authority).map_err(said)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(said)?;
    stream.write_all(&request).map_err(said)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(said)?;
    read(&answer, method == "HEAD").ok_or_else(|| "this is no answer, or half of one".to_owned())
}

fn read(answer: &[u8], bodiless: bool) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(answer.get(..end)?).ok()?, answer.get(end + 4..)?.to_vec());
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header =
        |name| headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let length = header("content-length").map(str::parse).transpose().ok()?;
    let whole = bodiless || length.is_none_or(|length| body.len() == length);
    whole.then(|| Answer { status, version: header("etag").map(str::to_owned), body })
}
