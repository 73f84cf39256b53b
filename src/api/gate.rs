//! The gate before every handler: who asks, and does the row's policy rule let them in, how far.

use super::State;
use super::access_rules;
use super::authenticate;
use crate::cloud::identity::Caller;
use crate::cloud::policy::{Credentials, Reach, Target};
use crate::error::{Error, Result};
use crate::http::call::Head;
use crate::http::router::Gate;
use crate::http::table::Access;
use crate::ids::{ProjectId, UserId};
use async_trait::async_trait;
use std::sync::Arc;

/// What a handler knows besides the request itself.
#[derive(Clone)]
pub struct Context {
    pub state: Arc<State>,
    caller: Option<Arc<Caller>>,
    /// How far the row's rule lets the caller reach. On public rows, nobody has asked a rule: handlers there don't use it.
    pub reach: Reach,
    credentials: Arc<Credentials>,
    /// The row's own rule; nothing on public rows.
    rule: &'static str,
}

impl Context {
    /// Who asks.
    ///
    /// # Errors
    /// `Unauthorized` on a public row called without a token.
    pub fn caller(&self) -> Result<&Arc<Caller>> {
        self.caller.as_ref().ok_or_else(authenticate::required)
    }

    pub fn user_id(&self) -> Result<&UserId> {
        Ok(&self.caller()?.user_id)
    }

    /// The project the token is scoped to.
    ///
    /// # Errors
    /// `Forbidden` when the token has another scope or none.
    pub fn project_id(&self) -> Result<&ProjectId> {
        self.caller()?.project_id().ok_or_else(|| Error::Forbidden("A token scoped to a project is needed.".to_owned()))
    }

    /// Does another rule hold for the caller everywhere or at home? For rules on attributes of a request.
    pub fn may(&self, rule: &str) -> bool {
        self.state.policy.reach(rule, &self.credentials).is_some()
    }

    /// How far another rule reaches.
    pub fn reach_of(&self, rule: &str) -> Option<Reach> {
        self.state.policy.reach(rule, &self.credentials)
    }

    /// The same caller as another service's rule lets them reach: for what one service asks of another on their behalf.
    ///
    /// # Errors
    /// `Forbidden`, naming the rule.
    pub fn reaching(&self, rule: &str) -> Result<Self> {
        let reach = self.reach_of(rule).ok_or_else(|| forbidden(rule))?;
        Ok(Self { reach, ..self.clone() })
    }

    /// Refuses unless the row's own rule holds for this very target.
    ///
    /// # Errors
    /// `Forbidden`, naming the rule.
    pub fn permit(&self, target: &Target) -> Result<()> {
        self.allow_on(self.rule, target)
    }

    /// Does the row's own rule hold for this very target?
    pub fn permits(&self, target: &Target) -> bool {
        self.may_on(self.rule, target)
    }

    /// Those of a list that the row's own rule holds for. A rule that comes to the same for whatever target is asked once.
    pub fn permitted<T>(&self, items: Vec<T>, target: impl Fn(&T) -> Target) -> Vec<T> {
        match self.state.policy.settled(self.rule, &self.credentials) {
            Some(true) => items,
            Some(false) => Vec::new(),
            None => items.into_iter().filter(|item| self.permits(&target(item))).collect(),
        }
    }

    /// The name of the row's own rule.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The caller as rules see them.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Does a rule hold for this very target?
    pub fn may_on(&self, rule: &str, target: &Target) -> bool {
        self.state.policy.allows(rule, &self.credentials, target)
    }

    /// Refuses unless the rule holds for the caller.
    ///
    /// # Errors
    /// `Forbidden`, naming the rule.
    pub fn allow(&self, rule: &str) -> Result<()> {
        if self.may(rule) { Ok(()) } else { Err(forbidden(rule)) }
    }

    /// Refuses unless the rule holds for this very target.
    ///
    /// # Errors
    /// `Forbidden`, naming the rule.
    pub fn allow_on(&self, rule: &str, target: &Target) -> Result<()> {
        if self.may_on(rule, target) { Ok(()) } else { Err(forbidden(rule)) }
    }
}

/// Refusal by a rule; each dialect words it its own way around the rule's name.
pub fn forbidden(rule: &str) -> Error {
    Error::Forbidden(rule.to_owned())
}

/// A path may name no project but the token's, in Nova's sentence.
fn check_project(caller: &Caller, head: &Head) -> Result<()> {
    let own = caller.project_id().map_or("None", |project| project.0.as_str());
    match head.project.as_deref() {
        Some(named) if named != own => Err(Error::bad_request(format!(
            "Malformed request URL: URL's project_id '{named}' doesn't match Context's project_id '{own}'"
        ))),
        _ => Ok(()),
    }
}

pub struct GateKeeper {
    state: Arc<State>,
}

impl GateKeeper {
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    pub fn state(&self) -> &Arc<State> {
        &self.state
    }
}

#[async_trait]
impl Gate for GateKeeper {
    type Caller = Option<Arc<Caller>>;
    type Context = Context;

    async fn identify(&self, access: Access, head: &Head) -> Result<Self::Caller> {
        match access {
            // A public row may still be called with a token (rescoping, discovery), but a bad one is no reason to refuse.
            Access::Public => Ok(None),
            Access::Rule(_) | Access::Undeclared => {
                let caller = authenticate::authenticate(&self.state, head).await?;
                access_rules::check(&self.state, &caller, head).await?;
                check_project(&caller, head)?;
                Ok(Some(caller))
            }
        }
    }

    async fn admit(&self, caller: Self::Caller, access: Access, head: &Head) -> Result<Context> {
        let credentials = Arc::new(caller.as_ref().map(|caller| caller.credentials()).unwrap_or_default());
        let policy = &self.state.policy;
        let (reach, rule) = match access {
            Access::Public => (Reach::User(UserId(String::new())), ""),
            // Identity's rules compare the domains of several things at once, which no home can stand for: its handlers
            // ask the rule about each thing itself ([`Context::permit`]), and here only hopeless calls are turned away.
            Access::Rule(rule) if std::ptr::eq(head.service, &super::identity::SERVICE) => {
                if !super::identity::looks_first(rule) && !policy.might_allow(rule, &credentials) {
                    return Err(forbidden(rule));
                }
                (Reach::User(UserId(credentials.user_id.clone())), rule)
            }
            // What can't be seen isn't there, even for whoever may do nothing with what they see: the handler looks first, as
            // far as the caller sees, and asks the rule about what it found.
            Access::Rule(rule) if std::ptr::eq(head.service, &super::image::SERVICE) => {
                let reach = policy.reach(rule, &credentials);
                let sight = || super::image::seen_by(rule).map(|rule| policy.reach(rule, &credentials));
                let nowhere = Reach::User(UserId(credentials.user_id.clone()));
                let reach = reach.or_else(|| sight().map(|reach| reach.unwrap_or(nowhere)));
                (reach.ok_or_else(|| forbidden(rule))?, rule)
            }
            Access::Rule(rule) => (policy.reach(rule, &credentials).ok_or_else(|| forbidden(rule))?, rule),
            Access::Undeclared => return Err(forbidden("undeclared")),
        };
        Ok(Context { state: self.state.clone(), caller, reach, credentials, rule })
    }
}
