//! Random trees, and random changes of them.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::case::{delete, write};
use crate::repository::Repository;

/// Names that are allowed and that programs stumble over.
const NAMES: [&str; 19] = [
    "state.json",
    "a b",
    " leading and trailing ",
    "-rf",
    ".hidden",
    "...",
    "ü\u{308}/é",
    "日本語",
    "🦀",
    "quote\"'`",
    "percent%2e%2f",
    "plus+and&and?and#",
    "semi;colon:pipe|star*",
    "back\\slash",
    "CON",
    "index.json",
    ".lockkeeper",
    "tmp",
    "~",
];

pub(super) struct Trees {
    random: SmallRng,
    models: Vec<&'static str>,
}

impl Trees {
    pub(super) fn new(seed: u64, models: &[&'static str]) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), models: models.to_vec() }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    fn path(&mut self) -> String {
        let model = self.below(self.models.len());
        let mut path = format!("data/{}", self.models.get(model).copied().unwrap_or("t/web"));
        for _ in 0..=self.below(3) {
            let name = match self.below(12) {
                0 => "n".repeat(255),
                1 => format!("{}", self.below(4)),
                _ => (*NAMES.get(self.below(NAMES.len())).unwrap_or(&"x")).to_owned(),
            };
            path.push('/');
            path.push_str(&name);
        }
        path
    }

    fn content(&mut self, large: bool) -> Vec<u8> {
        let size = match self.below(8) {
            0 => 0,
            1 if large => 300_000 + self.below(40_000),
            2 => 4_096,
            _ => 1 + self.below(200),
        };
        let mut content = vec![0; size];
        self.random.fill_bytes(&mut content);
        content
    }

    /// Writes files, deletes some, moves some, and changes some without changing their size.
    pub(super) fn change(&mut self, repository: &mut Repository, changes: usize, large: bool) {
        for _ in 0..changes {
            let present: Vec<String> = repository.files().keys().map(ToString::to_string).collect();
            let one = present.get(self.below(present.len())).cloned();
            match (self.below(6), one) {
                (0, Some(path)) => delete(repository, &path),
                (1, Some(from)) => {
                    let content = content(repository, &from);
                    delete(repository, &from);
                    let to = self.path();
                    self.put(repository, &to, &content);
                }
                (2, Some(path)) => {
                    let mut content = content(repository, &path);
                    if let Some(byte) = content.first_mut() {
                        *byte = byte.wrapping_add(1);
                    }
                    write(repository, &path, content);
                }
                _ => {
                    let (path, content) = (self.path(), self.content(large));
                    self.put(repository, &path, &content);
                }
            }
        }
    }

    /// Writes a file where one can be: what stands in the way is deleted.
    fn put(&mut self, repository: &mut Repository, path: &str, content: &[u8]) {
        let below = format!("{path}/");
        let in_the_way = |other: &str| other.starts_with(&below) || path.starts_with(&format!("{other}/"));
        let others: Vec<String> =
            repository.files().keys().map(ToString::to_string).filter(|other| in_the_way(other)).collect();
        others.iter().for_each(|other| delete(repository, other));
        write(repository, path, content);
    }
}

fn content(repository: &Repository, path: &str) -> Vec<u8> {
    let found = repository.files().iter().find(|(it, _)| it.as_str() == path);
    found.map(|(_, bytes)| bytes.to_vec()).unwrap_or_default()
}
