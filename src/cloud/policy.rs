//! oslo.policy's language, and permission as a value.
//!
//! Operators own `policy.yaml`, so rules keep upstream's names and language: `role:admin or (role:reader and
//! project_id:%(project_id)s)`. The twist is what a check yields. A rule is asked before the handler runs, once with no
//! target at all (does it hold everywhere?) and then with the caller's own domain, project and user as target (does it
//! hold at home?). The answer is a [`Reach`], and every store query takes one: a permission that ends at the project's
//! border makes a query that ends there. For rules that look at more of a row, [`Policy::allows`] checks the row itself.

use crate::error::{Error, Result};
use crate::ids::{DomainId, ProjectId, UserId};
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

/// Who asks, as rules see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user_id: String,
    pub user_domain_id: String,
    pub project_id: Option<String>,
    pub project_domain_id: Option<String>,
    pub domain_id: Option<String>,
    /// `all` for a token scoped to the system.
    pub system_scope: Option<String>,
    /// Names, lower case.
    pub roles: Vec<String>,
}

impl Credentials {
    fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "user_id" | "user.id" => Some(&self.user_id),
            "user_domain_id" | "user.domain_id" => Some(&self.user_domain_id),
            "project_id" | "tenant" | "tenant_id" | "token.project.id" => self.project_id.as_deref(),
            "project_domain_id" | "token.project.domain.id" => self.project_domain_id.as_deref(),
            "domain_id" | "token.domain.id" => self.domain_id.as_deref(),
            "system_scope" => self.system_scope.as_deref(),
            "is_admin" => Some(if self.roles.iter().any(|role| role == "admin") { "True" } else { "False" }),
            _ => None,
        }
    }
}

/// What a token may be about. A token without scope counts as one of a project, as upstream has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    System,
    Domain,
    Project,
}

impl Credentials {
    fn scope_kind(&self) -> ScopeKind {
        match (&self.system_scope, &self.domain_id) {
            (Some(_), _) => ScopeKind::System,
            (None, Some(_)) => ScopeKind::Domain,
            (None, None) => ScopeKind::Project,
        }
    }
}

/// What is acted on, as rules see it: dotted names to values (`target.user.domain_id`, `project_id`, `visibility`).
#[derive(Debug, Clone, Default)]
pub struct Target(HashMap<String, String>);

impl Target {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds the value when there is one; a missing one reads as upstream's `None`.
    pub fn with_option(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self.with(name, "None"),
        }
    }
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

/// A parsed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    Always,
    Never,
    Not(Box<Check>),
    All(Vec<Check>),
    Any(Vec<Check>),
    Role(String),
    Rule(String),
    /// An attribute of the caller, or a quoted literal, against a literal or a value of the target.
    Compare {
        left: Operand,
        right: Operand,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Literal(String),
    Attribute(String),
    Target(String),
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

fn references<'c>(check: &'c Check, into: &mut Vec<&'c str>) {
    match check {
        Check::Rule(name) => into.push(name),
        Check::Not(inner) => references(inner, into),
        Check::All(all) | Check::Any(all) => all.iter().for_each(|check| references(check, into)),
        Check::Always | Check::Never | Check::Role(_) | Check::Compare { .. } => {}
    }
}

/// Parses a rule; the error says what is wrong with it.
fn parse(text: &str) -> std::result::Result<Check, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Check::Always);
    }
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let check = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(check),
        Some(extra) => Err(format!("\"{extra}\" was not expected here")),
    }
}

/// Words and parentheses; a parenthesis may cling to a word, but one inside `%(name)s` belongs to it.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(after) = rest.strip_prefix('(') {
            tokens.push("(".to_owned());
            rest = after;
        }
        let closing = rest.len() - rest.trim_end_matches(')').len();
        let (body, _) = rest.split_at(rest.len() - closing);
        if !body.is_empty() {
            tokens.push(body.to_owned());
        }
        tokens.extend(std::iter::repeat_n(")".to_owned(), closing));
    }
    tokens
}

struct Parser<'t> {
    tokens: &'t [String],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> std::result::Result<Check, String> {
        let mut checks = vec![self.all()?];
        while self.take_word("or") {
            checks.push(self.all()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::Any(checks) })
    }

    fn all(&mut self) -> std::result::Result<Check, String> {
        let mut checks = vec![self.one()?];
        while self.take_word("and") {
            checks.push(self.one()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::All(checks) })
    }

    fn one(&mut self) -> std::result::Result<Check, String> {
        if self.depth > 64 {
            return Err("it is nested too deeply".to_owned());
        }
        if self.take_word("not") {
            self.depth += 1;
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Check::Not(Box::new(inner)));
        }
        if self.take_word("(") {
            self.depth += 1;
            let inner = self.any()?;
            self.depth -= 1;
            return if self.take_word(")") { Ok(inner) } else { Err("a \")\" is missing".to_owned()) };
        }
        let Some(token) = self.tokens.get(self.at) else {
            return Err("it ends too early".to_owned());
        };
        self.at += 1;
        leaf(token)
    }
}

fn leaf(token: &str) -> std::result::Result<Check, String> {
    match token {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (left, right) = token.split_once(':').ok_or_else(|| format!("\"{token}\" is no check: it has no colon"))?;
    match left {
        "role" => return Ok(Check::Role(right.to_owned())),
        "rule" => return Ok(Check::Rule(right.to_owned())),
        "http" | "https" => return Err("checks that ask another server are not supported".to_owned()),
        _ => {}
    }
    let left = match left {
        "None" | "True" | "False" => Operand::Literal(left.to_owned()),
        quoted if quoted.len() >= 2 && quoted.starts_with(['\'', '"']) && quoted.ends_with(['\'', '"']) => {
            Operand::Literal(quoted[1..quoted.len() - 1].to_owned())
        }
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            Operand::Literal(number.to_owned())
        }
        name => Operand::Attribute(name.to_owned()),
    };
    // The parenthesis that closes `%(name)s` may have been cut off by the tokenizer only if the rule itself is broken.
    let right = match right.strip_prefix("%(") {
        Some(rest) => Operand::Target(
            rest.strip_suffix(")s").ok_or_else(|| format!("\"{right}\" is not closed by )s"))?.to_owned(),
        ),
        None => Operand::Literal(right.to_owned()),
    };
    Ok(Check::Compare { left, right })
}

/// Parses a rule and throws it away: for `fuzz/` and for checking an operator's file.
///
/// # Errors
/// `BadRequest` saying what is wrong.
pub fn check_syntax(text: &str) -> Result<()> {
    parse(text).map(drop).map_err(Error::bad_request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[(&str, &str)] = &[
        ("admin_required", "role:admin or is_admin:1"),
        ("project_reader", "rule:admin_required or (role:reader and project_id:%(project_id)s)"),
        ("list", "rule:project_reader"),
        (
            "get_user",
            "rule:admin_required or (role:reader and domain_id:%(target.user.domain_id)s) or user_id:%(target.user.id)s",
        ),
        ("community", "'community':%(visibility)s or rule:list"),
        ("everyone", ""),
        ("nobody", "!"),
        ("none", "None:%(owner)s"),
        ("not_reader", "not role:reader and role:member"),
    ];

    fn policy() -> Policy {
        Policy::new(RULES.iter().copied(), &HashMap::new()).unwrap()
    }

    fn alice(roles: &[&str]) -> Credentials {
        Credentials {
            user_id: "alice".into(),
            user_domain_id: "default".into(),
            project_id: Some("p1".into()),
            roles: roles.iter().map(ToString::to_string).collect(),
            ..Credentials::default()
        }
    }

    #[test]
    fn a_reach_is_as_wide_as_the_rule_and_no_wider() {
        assert_eq!(policy().reach("list", &alice(&["admin"])), Some(Reach::Cloud));
        assert_eq!(policy().reach("list", &alice(&["reader"])), Some(Reach::Project("p1".into())));
        assert_eq!(policy().reach("list", &alice(&["member"])), None);
        assert_eq!(policy().reach("get_user", &alice(&[])), Some(Reach::User("alice".into())));
        let manager = Credentials { domain_id: Some("d1".into()), project_id: None, ..alice(&["reader"]) };
        assert_eq!(policy().reach("get_user", &manager), Some(Reach::Domain("d1".into())));
        assert_eq!(policy().reach("everyone", &alice(&[])), Some(Reach::Cloud));
        assert_eq!(policy().reach("nobody", &alice(&["admin"])), None);
        assert_eq!(policy().reach("no such rule", &alice(&["admin"])), None);
    }

    #[test]
    fn a_row_is_checked_by_its_own_values() {
        let p = policy();
        let mine = Target::new().with("project_id", "p1");
        let theirs = Target::new().with("project_id", "p2").with("visibility", "community");
        assert!(p.allows("list", &alice(&["reader"]), &mine));
        assert!(!p.allows("list", &alice(&["reader"]), &theirs));
        assert!(p.allows("community", &alice(&["reader"]), &theirs));
        assert!(p.allows("none", &alice(&[]), &Target::new().with_option("owner", None::<String>)));
        assert!(!p.allows("none", &alice(&[]), &Target::new().with("owner", "x")));
        assert!(p.allows("not_reader", &alice(&["member"]), &mine));
        assert!(!p.allows("not_reader", &alice(&["member", "reader"]), &mine));
    }

    #[test]
    fn a_rule_that_no_target_can_satisfy_is_known_before_there_is_one() {
        let p = policy();
        assert!(p.might_allow("get_user", &alice(&[])), "of herself");
        assert!(p.might_allow("list", &alice(&["reader"])));
        assert!(!p.might_allow("list", &alice(&["member"])));
        assert!(!p.might_allow("list", &Credentials { project_id: None, ..alice(&["reader"]) }));
        assert!(p.might_allow("community", &alice(&[])));
        assert!(!p.might_allow("nobody", &alice(&["admin"])));
        assert!(!p.might_allow("no such rule", &alice(&["admin"])));
    }

    #[test]
    fn what_a_rule_comes_to_whatever_the_target_it_comes_to_for_each() {
        let p = policy();
        let rules = RULES.iter().map(|(name, _)| *name).chain(["no such rule"]);
        let who = [alice(&["admin"]), alice(&["reader"]), alice(&["member"]), alice(&["member", "reader"]), alice(&[])];
        let who: Vec<_> =
            who.into_iter().flat_map(|one| [Credentials { project_id: None, ..one.clone() }, one]).collect();
        let keys = ["project_id", "target.user.domain_id", "target.user.id", "visibility", "owner"];
        let values = ["p1", "alice", "default", "community", "None"];
        let (mut settled, mut open) = (0, 0);
        for (rule, who) in rules.flat_map(|rule| who.iter().map(move |who| (rule, who))) {
            let Some(verdict) = p.settled(rule, who) else {
                open += 1;
                continue;
            };
            settled += 1;
            // Every target of these keys, each absent or with one of these values.
            for number in 0..6_usize.pow(5) {
                let digits = (0..5).map(|place| number / 6_usize.pow(place) % 6);
                let target = digits.enumerate().fold(Target::new(), |target, (key, digit)| match digit {
                    0 => target,
                    value => target.with(keys[key], values[value - 1]),
                });
                assert_eq!(p.allows(rule, who, &target), verdict, "{rule} {who:?} {target:?}");
            }
        }
        assert!(settled > 10 && open > 10, "{settled} {open}");
    }

    #[test]
    fn an_unscoped_caller_reaches_no_project() {
        let unscoped = Credentials { project_id: None, ..alice(&["reader"]) };
        assert_eq!(policy().reach("list", &unscoped), None);
        assert!(Reach::User("alice".into()).project().is_err());
    }

    #[test]
    fn a_broken_policy_is_refused_with_its_reason() {
        let refuse = |text: &str| {
            let overrides = HashMap::from([("x".to_owned(), text.to_owned())]);
            Policy::new(RULES.iter().copied(), &overrides).unwrap_err().to_string()
        };
        assert_eq!(refuse("role:admin or"), r#"policy rule "x": it ends too early"#);
        assert_eq!(refuse("(role:admin"), r#"policy rule "x": a ")" is missing"#);
        assert_eq!(refuse("role:a role:b"), r#"policy rule "x": "role:b" was not expected here"#);
        assert_eq!(refuse("admin"), r#"policy rule "x": "admin" is no check: it has no colon"#);
        assert_eq!(refuse("rule:missing"), r#"there is no policy rule "missing""#);
        assert_eq!(refuse("rule:x"), r#"policy rule "x" refers to itself"#);
    }

    #[test]
    fn a_rule_for_some_scopes_holds_for_no_token_of_another_whatever_its_roles() {
        const SCOPES: &[ScopeKind] = &[ScopeKind::System, ScopeKind::Project];
        let policy = Policy::new([("all", "role:admin"), ("some", "role:admin")], &HashMap::new()).unwrap();
        let policy = policy.with_scopes([("some", SCOPES)]);
        let who = Credentials { roles: vec!["admin".to_owned()], ..Credentials::default() };
        let of_domain = Credentials { domain_id: Some("d".to_owned()), ..who.clone() };
        let of_system = Credentials { system_scope: Some("all".to_owned()), ..who.clone() };
        for (who, holds) in [(&who, true), (&of_domain, false), (&of_system, true)] {
            assert_eq!(policy.allows("some", who, &Target::new()), holds);
            assert_eq!(policy.might_allow("some", who), holds);
            assert_eq!(policy.reach("some", who).is_some(), holds);
            assert!(policy.allows("all", who, &Target::new()));
        }
    }

    #[test]
    fn an_override_takes_the_place_of_its_default() {
        let overrides = HashMap::from([("list".to_owned(), "role:auditor".to_owned())]);
        let p = Policy::new(RULES.iter().copied(), &overrides).unwrap();
        assert_eq!(p.reach("list", &alice(&["reader"])), None);
        assert_eq!(p.reach("list", &alice(&["auditor"])), Some(Reach::Cloud));
    }
}
