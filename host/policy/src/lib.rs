//! The locking policy: which locks a command takes and which calls it makes.
//!
//! [`plan`] is a pure function from what a command does, the models it names and what the extension
//! promises to a [`Plan`]. It knows no lock store and no extension, so the whole table can be tested as it stands:
//!
//! | command | repository lock | model locks | sync lock | scope passed |
//! |---|---|---|---|---|
//! | model command, `scoped-sync` | shared | exclusive, each model | none | `{root}/{type}/{id}/` |
//! | model command, no `scoped-sync` | shared | exclusive, each model | exclusive, around each push and pull | none |
//! | structural command | exclusive | none | none | none |
//! | read-only command | none | none | none | – |
//! | command that reads the index | none | none | none | as for a model or structural command |
//!
//! These are intent locks, as databases take them. A model command announces itself by the shared repository lock, so a
//! structural command waits for it without knowing its models. A model whose folder lies in another model's
//! folder locks that ancestor shared, so the two exclude each other while siblings don't.

use std::collections::{BTreeMap, BTreeSet};

use lockkeeper_names::{ModelId, Root, Scope};

/// What a command touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Only the files of these models.
    Models(BTreeSet<ModelId>),
    /// More than it can name: a full push or pull.
    Structural,
    /// It changes nothing.
    ReadOnly,
}

/// What the extension promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Concurrent scoped pushes to scopes that do not overlap cannot corrupt shared state.
    pub scoped_sync: bool,
}

/// What a lock stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockName {
    /// All of the repository's data.
    Repository,
    /// One model's folder, in every root.
    Model(ModelId),
    /// The remote, for extensions that can't sync two scopes at once.
    Sync,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What it stands for.
    pub name: LockName,
    /// How to hold it.
    pub access: Access,
}

/// The locks and calls of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Taken before anything else, in this order, and held to the end.
    pub locks: Vec<Lock>,
    /// Taken around each push and each pull, if the extension needs it.
    pub around_sync: Option<Lock>,
    /// The calls of one push or one pull, in this order.
    pub calls: Vec<Call>,
}

/// One call of the extension's `push` or `pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The scope to pass.
    pub scope: Option<Scope>,
    /// The folders whose files it may change or send; absent means every root.
    pub covers: Option<Vec<Scope>>,
}

impl Plan {
    /// The same calls without a lock, for a command that changes nothing and takes the remote as it is.
    pub fn reading(self) -> Self {
        Self { locks: Vec::new(), around_sync: None, calls: self.calls }
    }
}

/// Says which locks a command takes and which calls it makes.
///
/// The locks stand in one global order (repository, models by name, then sync), so two commands can't deadlock.
pub fn plan(reach: &Reach, roots: &[Root], capabilities: Capabilities) -> Plan {
    match reach {
        Reach::ReadOnly => Plan { locks: Vec::new(), around_sync: None, calls: Vec::new() },
        Reach::Structural => Plan {
            locks: vec![Lock { name: LockName::Repository, access: Access::Exclusive }],
            around_sync: None,
            calls: vec![Call { scope: None, covers: None }],
        },
        Reach::Models(models) => {
            let scopes =
                models.iter().flat_map(|model| roots.iter().map(move |root| Scope::new(root, model)));
            let calls = if capabilities.scoped_sync {
                scopes.map(|scope| Call { covers: Some(vec![scope.clone()]), scope: Some(scope) }).collect()
            } else {
                vec![Call { scope: None, covers: Some(scopes.collect()) }]
            };
            let around_sync = (!capabilities.scoped_sync)
                .then_some(Lock { name: LockName::Sync, access: Access::Exclusive });
            Plan { locks: model_locks(models), around_sync, calls }
        }
    }
}

fn model_locks(models: &BTreeSet<ModelId>) -> Vec<Lock> {
    let mut accesses: BTreeMap<LockName, Access> = BTreeMap::from([(LockName::Repository, Access::Shared)]);
    for model in models {
        for ancestor in model.ancestors() {
            accesses.entry(LockName::Model(ancestor)).or_insert(Access::Shared);
        }
        accesses.insert(LockName::Model(model.clone()), Access::Exclusive);
    }
    accesses.into_iter().map(|(name, access)| Lock { name, access }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPED: Capabilities = Capabilities { scoped_sync: true };
    const EXCLUSIVE: Capabilities = Capabilities { scoped_sync: false };

    fn model(text: &str) -> ModelId {
        ModelId::parse(text).unwrap()
    }

    fn models(texts: &[&str]) -> Reach {
        Reach::Models(texts.iter().map(|text| model(text)).collect())
    }

    fn roots(texts: &[&str]) -> Vec<Root> {
        texts.iter().map(|text| Root::parse(text).unwrap()).collect()
    }

    fn shown(plan: &Plan) -> Vec<String> {
        plan.locks.iter().map(|lock| format!("{:?} {:?}", lock.access, lock.name)).collect()
    }

    fn scopes(plan: &Plan) -> Vec<Option<&str>> {
        plan.calls.iter().map(|call| call.scope.as_ref().map(Scope::as_str)).collect()
    }

    #[test]
    fn a_scoped_model_command_takes_no_exclusive_lock_but_its_models() {
        let plan = plan(&models(&["aws-ec2/web"]), &roots(&["data"]), SCOPED);
        assert_eq!(
            plan.locks,
            [
                Lock { name: LockName::Repository, access: Access::Shared },
                Lock { name: LockName::Model(model("aws-ec2/web")), access: Access::Exclusive },
            ]
        );
        assert_eq!(plan.around_sync, None);
        assert_eq!(scopes(&plan), [Some("data/aws-ec2/web/")]);
    }

    #[test]
    fn without_the_promise_one_unscoped_call_runs_under_the_sync_lock_and_covers_only_the_models() {
        let plan = plan(&models(&["a/c", "a/b"]), &roots(&["data", "outputs"]), EXCLUSIVE);
        assert_eq!(plan.around_sync, Some(Lock { name: LockName::Sync, access: Access::Exclusive }));
        assert_eq!(scopes(&plan), [None]);
        let covers: Vec<_> = plan.calls[0].covers.iter().flatten().map(Scope::as_str).collect();
        assert_eq!(covers, ["data/a/b/", "outputs/a/b/", "data/a/c/", "outputs/a/c/"]);
    }

    #[test]
    fn duplicate_models_make_one_call_each_in_sorted_order() {
        let plan = plan(&models(&["b/x", "a/x", "b/x"]), &roots(&["data"]), SCOPED);
        assert_eq!(scopes(&plan), [Some("data/a/x/"), Some("data/b/x/")]);
    }

    #[test]
    fn a_model_has_one_lock_and_a_scope_in_each_root() {
        let plan = plan(&models(&["a/x"]), &roots(&["data", "outputs"]), SCOPED);
        assert_eq!(plan.locks.len(), 2);
        assert_eq!(scopes(&plan), [Some("data/a/x/"), Some("outputs/a/x/")]);
    }

    #[test]
    fn ancestors_are_locked_shared_unless_named_themselves() {
        let nested = plan(&models(&["a/b/c"]), &roots(&["data"]), SCOPED);
        let expected = [
            "Shared Repository".to_owned(),
            format!("Shared {:?}", LockName::Model(model("a/b"))),
            format!("Exclusive {:?}", LockName::Model(model("a/b/c"))),
        ];
        assert_eq!(shown(&nested), expected);
        let both = plan(&models(&["a/b/c", "a/b"]), &roots(&["data"]), SCOPED);
        assert!(both.locks.iter().skip(1).all(|lock| lock.access == Access::Exclusive));
    }

    #[test]
    fn a_structural_command_holds_the_repository_alone_and_passes_no_scope() {
        for capabilities in [SCOPED, EXCLUSIVE] {
            let plan = plan(&Reach::Structural, &roots(&["data"]), capabilities);
            assert_eq!(plan.locks, [Lock { name: LockName::Repository, access: Access::Exclusive }]);
            assert_eq!(plan.around_sync, None);
            assert_eq!(plan.calls, [Call { scope: None, covers: None }]);
        }
    }

    #[test]
    fn a_read_only_command_takes_nothing() {
        let plan = plan(&Reach::ReadOnly, &roots(&["data"]), SCOPED);
        assert!(plan.locks.is_empty() && plan.around_sync.is_none() && plan.calls.is_empty());
    }

    #[test]
    fn what_only_reads_the_remote_takes_no_lock_and_has_the_same_scopes() {
        for capabilities in [SCOPED, EXCLUSIVE] {
            let writing = plan(&models(&["a/b"]), &roots(&["data"]), capabilities);
            let reading = writing.clone().reading();
            assert!(reading.locks.is_empty() && reading.around_sync.is_none());
            assert_eq!(reading.calls, writing.calls);
        }
    }

    /// Two plans exclude each other if they hold a lock in common that one of them holds alone.
    fn exclude(one: &Plan, other: &Plan) -> bool {
        one.locks.iter().any(|mine| {
            other.locks.iter().any(|theirs| {
                mine.name == theirs.name && (mine.access, theirs.access) != (Access::Shared, Access::Shared)
            })
        })
    }

    #[test]
    fn plans_exclude_each_other_exactly_if_their_models_overlap_and_lock_in_one_order() {
        let names = ["a/b", "a/b/c", "a/b/d", "a/bc", "a/b/c/d", "x/y"];
        for capabilities in [SCOPED, EXCLUSIVE] {
            for one in names {
                for other in names {
                    let mine = plan(&models(&[one]), &roots(&["data"]), capabilities);
                    let theirs = plan(&models(&[other]), &roots(&["data"]), capabilities);
                    assert_eq!(exclude(&mine, &theirs), model(one).overlaps(&model(other)), "{one} {other}");
                    let both = plan(&models(&[one, other]), &roots(&["data"]), capabilities);
                    assert!(both.locks.windows(2).all(|pair| pair[0].name < pair[1].name));
                }
            }
            let structural = plan(&Reach::Structural, &roots(&["data"]), capabilities);
            let single = plan(&models(&["a/b"]), &roots(&["data"]), capabilities);
            assert!(exclude(&structural, &single) && exclude(&structural, &structural));
        }
    }
}
