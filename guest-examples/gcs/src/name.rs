//! The names of objects: the SDK's keys, with what the store takes in no name percent-encoded.
//!
//! The store refuses line breaks, and tools stumble over other control characters. `%` is encoded as well, so that it can be told apart.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

/// The name of the object that has this key.
pub(crate) fn name_of(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            // Writing to a text can't fail.
            '%' | '\0'..='\x1f' | '\x7f' => _ = write!(name, "%{:02X}", u32::from(c)),
            c => name.push(c),
        }
    }
    name
}

/// The key of the object that has this name. Names that somebody else gave are taken as they are.
pub(crate) fn key_of(name: &str) -> String {
    match percent_decode_str(name).decode_utf8() {
        Ok(key) if name_of(&key) == name => key.into_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_name_and_has_no_control_characters_in_it() {
        for (key, name) in [
            ("data/line\nbreak", "data/line%0Abreak"),
            ("100%\r\x7f", "100%25%0D%7F"),
            ("data/a b/%2F+ü\u{85}", "data/a b/%252F+ü\u{85}"),
        ] {
            assert_eq!(name_of(key), name);
            assert_eq!(key_of(name), key);
        }
        assert_eq!(key_of("somebody's%20own%"), "somebody's%20own%");
    }
}
