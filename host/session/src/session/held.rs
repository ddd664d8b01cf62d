use std::fmt;
use std::str::FromStr;

use lockkeeper_names::ModelId;

/// What a command holds while its child runs, to be told to commands inside: as text, `SPACE:MODEL,MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The locks' folder, hashed: models of another remote are other models.
    pub space: String,
    /// The models whose locks are held.
    pub models: Vec<ModelId>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<String> = self.models.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}", self.space, models.join(","))
    }
}

impl FromStr for Held {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (space, models) = text.split_once(':').ok_or_else(|| format!("`{text}` names no locks"))?;
        let models =
            models.split(',').map(ModelId::parse).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        Ok(Self { space: space.to_owned(), models })
    }
}
