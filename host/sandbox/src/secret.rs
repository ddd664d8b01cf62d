//! Secrets: where they come from, and keeping them out of everything that is said.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The environment of the process that the host is in, read by whoever calls the library: the library itself never does.
pub trait Environment: Send + Sync {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// This user's home folder, if there is one.
    fn home(&self) -> Option<PathBuf>;

    /// The certificates of the authorities that this machine trusts, in DER; none if the machine has no say in it.
    ///
    /// Asked for at most once, when the first connection needs it. An error is what is wrong with the machine's choice.
    fn authorities(&self) -> Result<Vec<Vec<u8>>, String>;
}

/// No environment, no home, and no authorities of this machine's choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _name: &str) -> Option<OsString> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }

    fn authorities(&self) -> Result<Vec<Vec<u8>>, String> {
        Ok(Vec::new())
    }
}

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Variable(String),
    /// A file; a line break at its end is not part of the secret.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable isn't set, or the file is empty.
    #[error("{place} is {}", match .place { SecretSource::Variable(_) => "not set", SecretSource::File(_) => "empty" })]
    Missing {
        /// Where it should be.
        place: SecretSource,
    },
    /// It is no text.
    #[error("{place} holds no text")]
    NoText {
        /// Where it is.
        place: SecretSource,
    },
    /// The file can't be read.
    #[error("{place}: {source}")]
    Unreadable {
        /// Where it is.
        place: SecretSource,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SecretSource {
    /// Reads the secret.
    pub fn read(&self, environment: &dyn Environment) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Variable(name) => {
                let value = environment.variable(name).unwrap_or_default();
                value.into_string().map_err(|_| SecretError::NoText { place: self.clone() })?
            }
            Self::File(path) => std::fs::read_to_string(path).map_err(|source| match source.kind() {
                std::io::ErrorKind::InvalidData => SecretError::NoText { place: self.clone() },
                _ => SecretError::Unreadable { place: self.clone(), source },
            })?,
        };
        let text = match self {
            Self::Variable(_) => text.as_str(),
            Self::File(_) => text.strip_suffix('\n').map_or(&*text, |line| line.trim_end_matches('\r')),
        };
        if text.is_empty() {
            return Err(SecretError::Missing { place: self.clone() });
        }
        Ok(Secret(text.to_owned()))
    }
}

/// A text that is handed to whom it is for, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}

/// What stands in place of a secret.
const MARK: &str = "(secret)";

/// Lines of a secret that are shorter than this are not secret by themselves, such as the last one of a key.
const SHORTEST_LINE: usize = 8;

/// Takes known secrets out of texts.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Each form in which a secret may appear, the longest first.
    forms: Arc<[String]>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}

impl Secrets {
    /// For these secrets: as they are, line by line, percent-encoded as in a URL, and escaped as in a JSON document.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut forms = Vec::new();
        for Secret(secret) in secrets {
            let lines = secret.lines().filter(|line| line.len() >= SHORTEST_LINE);
            for text in lines.chain([secret.as_str()]) {
                forms.extend([text.to_owned(), percent_encoded(text), text.escape_debug().to_string()]);
            }
        }
        forms.retain(|form| !form.is_empty());
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        Self { forms: forms.into() }
    }

    /// The text without the secrets.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut hidden = Cow::Borrowed(text);
        for form in self.forms.iter() {
            if hidden.contains(form.as_str()) {
                hidden = Cow::Owned(hidden.replace(form.as_str(), MARK));
            }
        }
        hidden
    }

    /// The bytes with as many stars in place of each secret.
    pub(crate) fn blot(&self, bytes: &mut [u8]) {
        for form in self.forms.iter().map(String::as_bytes) {
            let mut from = 0;
            while let Some(found) = bytes.get(from..).and_then(|rest| position(rest, form)) {
                from += found;
                if let Some(place) = bytes.get_mut(from..from + form.len()) {
                    place.fill(b'*');
                }
                from += form.len();
            }
        }
    }

    /// How long the longest form of a secret is.
    pub(crate) fn longest(&self) -> usize {
        self.forms.first().map_or(0, String::len)
    }

    pub(crate) fn hide_string(&self, text: &mut String) {
        if let Cow::Owned(hidden) = self.hide(text) {
            *text = hidden;
        }
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Password(Option<&'static str>);

    impl Environment for Password {
        fn variable(&self, name: &str) -> Option<OsString> {
            (name == "PASSWORD").then_some(self.0).flatten().map(OsString::from)
        }

        fn home(&self) -> Option<PathBuf> {
            None
        }

        fn authorities(&self) -> Result<Vec<Vec<u8>>, String> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_secret_is_read_from_a_variable_or_a_file_without_the_files_last_line_break() {
        let variable = SecretSource::Variable("PASSWORD".to_owned());
        assert_eq!(variable.read(&Password(Some("pass\n"))).unwrap().reveal(), "pass\n");
        for nothing in [None, Some("")] {
            let error = variable.read(&Password(nothing)).unwrap_err().to_string();
            assert_eq!(error, "environment variable PASSWORD is not set");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let file = SecretSource::File(path.clone());
        assert!(file.read(&NoEnvironment).unwrap_err().to_string().contains("No such file"));
        for (content, secret) in
            [("pass", "pass"), ("pass\n", "pass"), ("pass\r\n", "pass"), ("a\nb\n\n", "a\nb\n")]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(file.read(&NoEnvironment).unwrap().reveal(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(file.read(&NoEnvironment).unwrap_err().to_string().ends_with("password is empty"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(file.read(&NoEnvironment).unwrap_err().to_string().ends_with("holds no text"));
    }

    #[test]
    fn a_secret_is_hidden_as_it_is_in_urls_in_json_and_line_by_line() {
        let secrets = ["p/ss\"word", "p/ss\"word-2", "-----BEGIN KEY-----\nabcdefgh\nxyz"]
            .map(|text| Secret(text.to_owned()));
        let secrets = Secrets::new(&secrets);
        for (text, hidden) in [
            ("none", "none"),
            ("p/ss\"word p/ss\"word-2 p/ss\"word", "(secret) (secret) (secret)"),
            ("mongodb://me:p%2Fss%22word@host", "mongodb://me:(secret)@host"),
            (r#"{"a":"p/ss\"word"}"#, r#"{"a":"(secret)"}"#),
            ("line abcdefgh here", "line (secret) here"),
            ("xyz", "xyz"),
        ] {
            assert_eq!(secrets.hide(text), hidden);
        }
        let mut bytes = b"\xffp/ss\"word!".to_vec();
        secrets.blot(&mut bytes);
        assert_eq!(bytes, b"\xff*********!");
        assert_eq!(format!("{secrets:?} {:?}", Secret("x".to_owned())), "(secret) (secret)");
    }
}
