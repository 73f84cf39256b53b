//! oslo.policy's language, and permission as a value.
//!
//! Operators own `policy.yaml`, so rules keep upstream's names and language: `role:admin or (role:reader and
//! project_id:%(project_id)s)`. The twist is what a check yields. A rule is asked before the handler runs, once with no
//! target at all (does it hold everywhere?) and then with the caller's own domain, project and user as target (does it
//! hold at home?). The answer is a [`Reach`], and every store query takes one: a permission that ends at the project's
//! border makes a query that ends there. For rules that look at more of a row, [`Policy::allows`] checks the row itself.

mod asked;
mod language;
#[cfg(test)]
mod properties_tests;
#[cfg(test)]
mod tests;

pub use asked::{Credentials, ScopeKind, Target};
pub use language::check_syntax;

use crate::error::{Error, Result};
use crate::ids::{DomainId, ProjectId, UserId};
use language::{Check, Operand, parse, references};
use std::collections::HashMap;

/// How far a permission reaches. Store queries take one; they can't be asked without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Cloud,
    Domain(DomainId),
    Project(ProjectId),
    User(UserId),
}

impl Reach {
    /// The project a query is bound to; `None` only for the whole cloud.
    ///
    /// # Errors
    /// `Forbidden` for a reach that a table of projects' things can't express; never "no bound".
    pub fn project(&self) -> Result<Option<&ProjectId>> {
        match self {
            Self::Cloud => Ok(None),
            Self::Project(project) => Ok(Some(project)),
            Self::Domain(_) | Self::User(_) => Err(forbidden()),
        }
    }
}

fn forbidden() -> Error {
    Error::Forbidden("You are not authorized to perform the requested action.".to_owned())
}

/// Targets of a check: a real one, none at all, or the caller's home seen from one side.
enum Seen<'t> {
    Real(&'t Target),
    Nothing,
    Home(Side),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Domain,
    Project,
    User,
}

impl Seen<'_> {
    fn value(&self, name: &str, who: &Credentials) -> Option<String> {
        match self {
            Self::Real(target) => target.0.get(name).cloned(),
            Self::Nothing => None,
            Self::Home(side) => {
                let ends = |suffixes: &[&str]| {
                    suffixes.iter().any(|suffix| {
                        name == *suffix
                            || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.') || rest.ends_with('_'))
                    })
                };
                match side {
                    Side::Domain if ends(&["domain_id", "domain.id"]) => who.domain_id.clone(),
                    Side::Project if ends(&["project_id", "project.id", "tenant_id", "owner", "member_id"]) => {
                        who.project_id.clone()
                    }
                    Side::User if ends(&["user_id", "user.id"]) => Some(who.user_id.clone()),
                    _ => None,
                }
            }
        }
    }
}

/// The rules in force: defaults, and what the operator put over them.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: HashMap<String, Check>,
    /// Rules that are not for every scope, and the scopes they are for. They bind whoever asks by that name, and not where
    /// another rule refers to it; an operator's override of the check leaves them standing.
    scopes: HashMap<&'static str, &'static [ScopeKind]>,
}

impl Policy {
    /// Parses defaults and overrides.
    ///
    /// # Errors
    /// `BadRequest` naming the rule that can't be parsed, or that refers to a rule that isn't there or to itself.
    pub fn new(
        defaults: impl IntoIterator<Item = (&'static str, &'static str)>,
        overrides: &HashMap<String, String>,
    ) -> Result<Self> {
        let mut rules = HashMap::new();
        let defaults = defaults.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        for (name, text) in defaults.chain(overrides.clone()) {
            let check = parse(&text).map_err(|why| Error::bad_request(format!("policy rule \"{name}\": {why}")))?;
            rules.insert(name, check);
        }
        let policy = Self { rules, scopes: HashMap::new() };
        policy.check_references()?;
        Ok(policy)
    }

    /// The same, with the scopes that rules are for.
    pub fn with_scopes(self, scopes: impl IntoIterator<Item = (&'static str, &'static [ScopeKind])>) -> Self {
        Self { scopes: scopes.into_iter().collect(), ..self }
    }

    /// Is the rule for tokens of the caller's scope?
    fn takes_scope_of(&self, rule: &str, who: &Credentials) -> bool {
        self.scopes.get(rule).is_none_or(|scopes| scopes.contains(&who.scope_kind()))
    }

    pub fn has(&self, rule: &str) -> bool {
        self.rules.contains_key(rule)
    }

    /// How far the rule lets the caller reach; `None` when nowhere, not even at home.
    pub fn reach(&self, rule: &str, who: &Credentials) -> Option<Reach> {
        if !self.takes_scope_of(rule, who) {
            return None;
        }
        if self.holds(rule, who, &Seen::Nothing) {
            return Some(Reach::Cloud);
        }
        if let Some(domain) = &who.domain_id
            && self.holds(rule, who, &Seen::Home(Side::Domain))
        {
            return Some(Reach::Domain(DomainId(domain.clone())));
        }
        if let Some(project) = &who.project_id
            && self.holds(rule, who, &Seen::Home(Side::Project))
        {
            return Some(Reach::Project(ProjectId(project.clone())));
        }
        self.holds(rule, who, &Seen::Home(Side::User)).then(|| Reach::User(UserId(who.user_id.clone())))
    }

    /// Does the rule hold for this very target?
    pub fn allows(&self, rule: &str, who: &Credentials, target: &Target) -> bool {
        self.takes_scope_of(rule, who) && self.holds(rule, who, &Seen::Real(target))
    }

    /// Could the rule hold for some target? Where a service looks at each target itself (identity's rules compare the
    /// domains of several things at once), this is what can be said before there is one.
    pub fn might_allow(&self, rule: &str, who: &Credentials) -> bool {
        self.settled(rule, who) != Some(false)
    }

    /// What the rule comes to for the caller whatever the target; `None` when it depends on the target. Lists ask this
    /// once instead of the rule for each item.
    pub fn settled(&self, rule: &str, who: &Credentials) -> Option<bool> {
        let check = self.rules.get(rule).filter(|_| self.takes_scope_of(rule, who));
        check.map_or(Some(false), |check| self.outlook(check, who))
    }

    /// What a check comes to, whatever the target; `None` when that depends on the target.
    fn outlook(&self, check: &Check, who: &Credentials) -> Option<bool> {
        let among = |checks: &[Check], decides: bool| {
            let outlooks: Vec<_> = checks.iter().map(|check| self.outlook(check, who)).collect();
            if outlooks.contains(&Some(decides)) {
                Some(decides)
            } else if outlooks.contains(&None) {
                None
            } else {
                Some(!decides)
            }
        };
        match check {
            Check::Not(inner) => self.outlook(inner, who).map(|holds| !holds),
            Check::All(all) => among(all, false),
            Check::Any(any) => among(any, true),
            Check::Rule(name) => self.rules.get(name).map_or(Some(false), |check| self.outlook(check, who)),
            Check::Compare { left: Operand::Attribute(name), right: Operand::Target(_) }
                if who.attribute(name).is_none() =>
            {
                Some(false)
            }
            Check::Compare { right: Operand::Target(_), .. } => None,
            Check::Always | Check::Never | Check::Role(_) | Check::Compare { .. } => {
                Some(self.evaluate(check, who, &Seen::Nothing))
            }
        }
    }

    fn holds(&self, rule: &str, who: &Credentials, seen: &Seen<'_>) -> bool {
        // A rule that isn't there holds for nobody.
        self.rules.get(rule).is_some_and(|check| self.evaluate(check, who, seen))
    }

    fn evaluate(&self, check: &Check, who: &Credentials, seen: &Seen<'_>) -> bool {
        match check {
            Check::Always => true,
            Check::Never => false,
            Check::Not(inner) => !self.evaluate(inner, who, seen),
            Check::All(all) => all.iter().all(|check| self.evaluate(check, who, seen)),
            Check::Any(any) => any.iter().any(|check| self.evaluate(check, who, seen)),
            Check::Role(name) => who.roles.iter().any(|role| role.eq_ignore_ascii_case(name)),
            Check::Rule(name) => self.holds(name, who, seen),
            Check::Compare { left, right } => {
                if let (Operand::Attribute(name), Operand::Literal(literal)) = (left, right)
                    && literal == "None"
                {
                    return who.attribute(name).is_none();
                }
                let value = |operand: &Operand| match operand {
                    Operand::Literal(text) => Some(text.clone()),
                    Operand::Attribute(name) => who.attribute(name).map(str::to_owned),
                    Operand::Target(name) => seen.value(name, who),
                };
                matches!((value(left), value(right)), (Some(left), Some(right)) if left == right)
            }
        }
    }

    fn check_references(&self) -> Result<()> {
        for name in self.rules.keys() {
            self.follow(name, &mut Vec::new())?;
        }
        Ok(())
    }

    fn follow<'p>(&'p self, name: &'p str, path: &mut Vec<&'p str>) -> Result<()> {
        if path.contains(&name) {
            return Err(Error::bad_request(format!("policy rule \"{name}\" refers to itself")));
        }
        let check =
            self.rules.get(name).ok_or_else(|| Error::bad_request(format!("there is no policy rule \"{name}\"")))?;
        path.push(name);
        let mut referred = Vec::new();
        references(check, &mut referred);
        for next in referred {
            self.follow(next, path)?;
        }
        path.pop();
        Ok(())
    }
}
