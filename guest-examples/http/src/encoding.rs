//! Percent-encoding, the strict kind that signatures are computed over.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a key whose `/` separate the segments of a path.
const PATH: &AsciiSet = &COMPONENT.remove(b'/');

/// Encodes a part of a URL: the value of a query parameter, or a path segment that holds no separators.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// Encodes a key whose `/` stay separators.
pub fn encode_path(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        assert_eq!(encode("a-b_c.d~9 +%/é\u{1}&=?#"), "a-b_c.d~9%20%2B%25%2F%C3%A9%01%26%3D%3F%23");
        assert_eq!(encode_path("data/a b/c+d%"), "data/a%20b/c%2Bd%25");
    }
}
