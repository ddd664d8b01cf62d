use std::fmt;

use lockkeeper_names::ExtensionName;
use sha2::{Digest, Sha256};
use wasm_metadata::Payload as MetadataPayload;
use wasmparser::{Encoding, Parser, Payload};

use crate::error::ComponentError;

/// The export that makes a component an extension, without its version.
const SYNC: &str = "lockkeeper:datastore/sync@";
const CAPABILITIES: &str = "lockkeeper:datastore/capabilities@";

/// The versions of the contract that this host speaks.
pub(crate) const SPOKEN: &str = "0.1.0";

/// The SHA-256 hash of a component file; as text, `sha256:` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ComponentDigest(String);

impl ComponentDigest {
    /// Hashes a component's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{digits}"))
    }

    /// The digits alone.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// The first twelve digits, to show to people.
    pub fn short(&self) -> String {
        self.0.chars().take("sha256:".len() + 12).collect()
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who an extension is: what its metadata says, and the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Its name, `@collective/name`.
    pub name: ExtensionName,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// The version of the contract it was built for.
    pub contract: String,
    /// Whether it exports `capabilities`.
    pub exports_capabilities: bool,
    /// The hash of the file.
    pub digest: ComponentDigest,
}

/// Reads who an extension is from its file's bytes, without compiling or running it.
pub fn inspect(bytes: &[u8]) -> Result<Identity, ComponentError> {
    let exports = exports(bytes)?;
    let versions: Vec<&str> = exports.iter().filter_map(|name| name.strip_prefix(SYNC)).collect();
    let contract = match versions.as_slice() {
        [] => return Err(ComponentError::OtherWorld { exports }),
        versions => match versions.iter().find(|version| **version == SPOKEN) {
            Some(version) => (*version).to_owned(),
            None => {
                let found = versions.join(", ");
                return Err(ComponentError::UnknownContract { found, spoken: SPOKEN });
            }
        },
    };
    let exports_capabilities =
        exports.iter().any(|name| name.strip_prefix(CAPABILITIES).is_some_and(|version| version == contract));

    let payload = MetadataPayload::from_binary(bytes)
        .map_err(|error| ComponentError::Malformed { problem: format!("its metadata: {error}") })?;
    let metadata = payload.metadata();
    let name = metadata.name.as_deref().ok_or(ComponentError::Unnamed { missing: "name" })?;
    let name = ExtensionName::parse(name).map_err(ComponentError::BadName)?;
    let version = metadata.version.as_ref().ok_or(ComponentError::Unnamed { missing: "version" })?;
    Ok(Identity {
        name,
        version: version.to_string(),
        description: metadata.description.as_ref().map(ToString::to_string),
        licence: metadata.licenses.as_ref().map(ToString::to_string),
        homepage: metadata.homepage.as_ref().map(ToString::to_string),
        contract,
        exports_capabilities,
        digest: ComponentDigest::of(bytes),
    })
}

/// The names that the outermost component exports.
fn exports(bytes: &[u8]) -> Result<Vec<String>, ComponentError> {
    let malformed =
        |error: wasmparser::BinaryReaderError| ComponentError::Malformed { problem: error.to_string() };
    if !bytes.starts_with(b"\0asm") {
        let problem = "it does not begin with WebAssembly's magic number".to_owned();
        return Err(ComponentError::Malformed { problem });
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(ComponentError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named_for_what_it_is() {
        let module = wat::parse_str("(module)").unwrap();
        assert!(matches!(inspect(&module), Err(ComponentError::CoreModule)));
        assert!(matches!(inspect(b""), Err(ComponentError::Malformed { .. })));
        assert!(matches!(inspect(b"#!/bin/sh"), Err(ComponentError::Malformed { .. })));
        assert!(matches!(inspect(&module[..6]), Err(ComponentError::Malformed { .. })));
    }

    #[test]
    fn a_component_of_another_world_is_refused_with_what_it_exports() {
        let other =
            wat::parse_str(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#)
                .unwrap();
        match inspect(&other) {
            Err(ComponentError::OtherWorld { exports }) => assert_eq!(exports, ["wasi:cli/run@0.2.0"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_contract_from_the_future_is_named() {
        let text = r#"(component (instance $i) (export "lockkeeper:datastore/sync@7.0.0" (instance $i)))"#;
        match inspect(&wat::parse_str(text).unwrap()) {
            Err(ComponentError::UnknownContract { found, .. }) => assert_eq!(found, "7.0.0"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_component_without_a_name_is_told_how_to_get_one() {
        let text = r#"(component (instance $i) (export "lockkeeper:datastore/sync@0.1.0" (instance $i)))"#;
        let error = inspect(&wat::parse_str(text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("no name"), "{error}");
    }
}
