//! The values of `[datastore.config]`.

use lockkeeper_sdk::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::url::Target;

/// Where the database is. What could hold a password is hidden from `Debug`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `mongodb://USER@HOST:PORT/DATABASE?OPTIONS`.
    pub url: SecretString,
    /// The user's password, unless the URL has it.
    pub password: Option<SecretString>,
    /// The database, unless the URL names it.
    pub database: Option<String>,
    /// What the names of the collections begin with; by default `lockkeeper`. Two repositories that should not share
    /// anything can have one database with two of these.
    pub prefix: Option<String>,
}

/// A configuration that was checked.
pub struct Checked {
    /// Where the deployment is.
    pub target: Target,
    /// The database.
    pub database: String,
    /// What the names of the collections begin with.
    pub prefix: String,
}

impl Config {
    /// Checks that everything is there and makes sense.
    pub fn check(self) -> Result<Checked> {
        let target = Target::parse(self.url.expose_secret(), self.password)?;
        let database = self.database.or_else(|| target.database.clone()).ok_or_else(|| {
            Error::config("in [datastore.config]: which database? Name it in the `url`, mongodb://HOST/DATABASE, or in `database`")
        })?;
        let forbidden = |c: char| c.is_control() || r#"/\. "$*<>:|?"#.contains(c);
        if database.is_empty() || database.len() > 63 || database.contains(forbidden) {
            return Err(Error::config(
                "in [datastore.config]: the database's name has characters that MongoDB forbids",
            ));
        }
        let prefix = self.prefix.unwrap_or_else(|| "lockkeeper".to_owned());
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if prefix.is_empty()
            || prefix.len() > 60
            || !prefix.chars().all(fine)
            || prefix.starts_with("system.")
        {
            return Err(Error::config(
                "in [datastore.config]: `prefix` has to be made of letters, digits, `-`, `_` and `.`",
            ));
        }
        Ok(Checked { target, database, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, database: Option<&str>, prefix: Option<&str>) -> Config {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Config {
            url: SecretString::from(url.to_owned()),
            password: None,
            database: own(database),
            prefix: own(prefix),
        }
    }

    #[test]
    fn the_database_comes_from_the_config_or_else_from_the_url() {
        let database = |url, database| config(url, database, None).check().map(|checked| checked.database);
        assert_eq!(database("mongodb://h/shop", None).unwrap(), "shop");
        assert_eq!(database("mongodb://h/shop", Some("other")).unwrap(), "other");
        assert!(database("mongodb://h/", None).is_err());
        assert!(database("mongodb://h/a.b", None).is_err());
    }

    #[test]
    fn the_collections_have_a_name_of_their_own() {
        let prefix = |prefix| config("mongodb://h/d", None, prefix).check().map(|checked| checked.prefix);
        assert_eq!(prefix(None).unwrap(), "lockkeeper");
        assert_eq!(prefix(Some("team-a")).unwrap(), "team-a");
        assert!(prefix(Some("system.x")).is_err());
        assert!(prefix(Some("a$b")).is_err());
    }

    #[test]
    fn printing_a_config_hides_its_secrets() {
        let mut config = config("mongodb://me:hidden@h/d", None, None);
        config.password = Some(SecretString::from("hidden".to_owned()));
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
