//! `[datastore.auth]`, and secrets among the values of `[datastore.config]`.

use std::fmt;
use std::path::{Path, PathBuf};

use lockkeeper_sandbox::{HttpOrigin, Scheme, SecretSource};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

/// Where a secret is, as written: `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Place")]
pub struct SecretConfig(SecretSource);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl TryFrom<Place> for SecretConfig {
    type Error = &'static str;

    fn try_from(place: Place) -> Result<Self, &'static str> {
        match (place.env, place.file) {
            (Some(name), None) if is_variable(&name) => Ok(Self(SecretSource::Variable(name))),
            (None, Some(path)) if !path.as_os_str().is_empty() => Ok(Self(SecretSource::File(path))),
            (Some(_), None) => Err("`env` is no name of an environment variable"),
            (None, Some(_)) => Err("`file` is empty"),
            _ => Err("a secret comes from `env`, an environment variable, or from `file`, one of the two"),
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

impl SecretConfig {
    /// The file, if it is one, as written.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.0 {
            SecretSource::File(path) => Some(path),
            SecretSource::Variable(_) => None,
        }
    }

    /// The same, with a file relative to the repository made absolute.
    pub fn within(&self, repository: &Path) -> SecretSource {
        match &self.0 {
            SecretSource::File(path) => SecretSource::File(repository.join(path)),
            variable => variable.clone(),
        }
    }
}

/// The schemes that are bound to origins, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct AuthConfig(Vec<(Spanned<super::Parsed<HttpOrigin>>, SchemeConfig)>);

/// How requests are authenticated, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
struct SchemeConfig(Scheme);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scheme: Name,
    region: Option<String>,
    service: Option<String>,
    profile: Option<String>,
    user: Option<String>,
    env: Option<String>,
    file: Option<PathBuf>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Name {
    // Or else it would be `aws-sig-v4`.
    #[serde(rename = "aws-sigv4")]
    AwsSigV4,
    Google,
    Bearer,
    Basic,
}

impl TryFrom<Written> for SchemeConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { scheme, region, service, profile, user, env, file } = written;
        let mut others = vec![
            ("region", region.is_some()),
            ("service", service.is_some()),
            ("profile", profile.is_some()),
            ("user", user.is_some()),
            ("env", env.is_some()),
            ("file", file.is_some()),
        ];
        let (name, takes): (_, &[&str]) = match scheme {
            Name::AwsSigV4 => ("aws-sigv4", &["region", "service", "profile"]),
            Name::Google => ("google", &[]),
            Name::Bearer => ("bearer", &["env", "file"]),
            Name::Basic => ("basic", &["user", "env", "file"]),
        };
        others.retain(|(key, given)| *given && !takes.contains(key));
        if let Some((key, _)) = others.first() {
            return Err(format!("`{name}` takes no `{key}`"));
        }
        let secret = || SecretConfig::try_from(Place { env, file }).map(|secret| secret.0);
        Ok(Self(match scheme {
            Name::AwsSigV4 => Scheme::AwsSigV4 { region, service, profile },
            Name::Google => Scheme::Google,
            Name::Bearer => Scheme::Bearer { token: secret()? },
            Name::Basic => match user {
                Some(user) if !user.contains(':') => Scheme::Basic { user, password: secret()? },
                Some(_) => return Err("a `user` has no `:` in it".to_owned()),
                None => return Err("`basic` needs a `user`".to_owned()),
            },
        }))
    }
}

impl AuthConfig {
    /// The schemes, with files relative to the repository made absolute.
    pub(super) fn bindings(&self, repository: &Path) -> Vec<(HttpOrigin, Scheme)> {
        let within = |secret: &SecretSource| SecretConfig(secret.clone()).within(repository);
        let bindings = self.0.iter().map(|(origin, SchemeConfig(scheme))| {
            let scheme = match scheme {
                Scheme::Bearer { token } => Scheme::Bearer { token: within(token) },
                Scheme::Basic { user, password } => {
                    Scheme::Basic { user: user.clone(), password: within(password) }
                }
                other => other.clone(),
            };
            (origin.as_ref().0.clone(), scheme)
        });
        bindings.collect()
    }

    /// The files that secrets are read from, as written.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|(_, SchemeConfig(scheme))| match scheme {
            Scheme::Bearer { token: SecretSource::File(path) }
            | Scheme::Basic { password: SecretSource::File(path), .. } => Some(path.as_path()),
            _ => None,
        })
    }

    /// Finds an origin that isn't granted or is bound twice: where it stands in the text, and what is wrong with it.
    pub(super) fn check(&self, granted: &[HttpOrigin]) -> Result<(), (usize, String)> {
        let mut bound = Vec::new();
        for (origin, _) in &self.0 {
            let (place, super::Parsed(origin)) = (origin.span().start, origin.as_ref());
            if !granted.contains(origin) {
                let grant = format!("to grant it: [datastore.grants] http = [\"{origin}\"]");
                return Err((place, format!("binds `{origin}`, which is not granted; {grant}")));
            }
            if bound.contains(&origin) {
                return Err((place, format!("binds `{origin}` twice")));
            }
            bound.push(origin);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for AuthConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bindings;

        impl<'de> Visitor<'de> for Bindings {
            type Value = AuthConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("origins with their schemes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AuthConfig, A::Error> {
                let mut bindings: Vec<(Spanned<super::Parsed<HttpOrigin>>, SchemeConfig)> = Vec::new();
                while let Some(origin) = map.next_key::<Spanned<super::Parsed<HttpOrigin>>>()? {
                    bindings.push((origin, map.next_value()?));
                }
                Ok(AuthConfig(bindings))
            }
        }

        deserializer.deserialize_map(Bindings)
    }
}
