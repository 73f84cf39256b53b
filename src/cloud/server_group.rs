//! Server groups: which servers shall be near each other or apart, and what that means for where the next one goes.
//!
//! ```text
//!  affinity            only where a member is, if any is anywhere
//!  anti-affinity       nowhere where `max_per_host` members are
//!  soft-…              the same, as long as such a host can take the server; else wherever it fits
//! ```

use crate::ids::{HostId, ProjectId, ServerGroupId, ServerId, UserId};

/// Upstream's words for what a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Affinity,
    AntiAffinity,
    SoftAffinity,
    SoftAntiAffinity,
}

impl Policy {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Affinity => "affinity",
            Self::AntiAffinity => "anti-affinity",
            Self::SoftAffinity => "soft-affinity",
            Self::SoftAntiAffinity => "soft-anti-affinity",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Affinity, Self::AntiAffinity, Self::SoftAffinity, Self::SoftAntiAffinity]
            .into_iter()
            .find(|policy| policy.word() == word)
    }

    /// A wish, not an order.
    pub const fn is_soft(self) -> bool {
        matches!(self, Self::SoftAffinity | Self::SoftAntiAffinity)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerGroup {
    pub id: ServerGroupId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: String,
    pub policy: Policy,
    /// Of anti-affinity alone; `None`: one.
    pub max_per_host: Option<i64>,
    pub members: Vec<ServerId>,
}

/// What a group asks of the place of one more server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    pub policy: Policy,
    pub max_per_host: Option<i64>,
    /// Where the other members are, a host once for each.
    pub hosts: Vec<HostId>,
}

impl Affinity {
    /// Is this host as the policy wants it?
    pub fn suits(&self, host: HostId) -> bool {
        let there = self.hosts.iter().filter(|other| **other == host).count();
        match self.policy {
            Policy::Affinity | Policy::SoftAffinity => self.hosts.is_empty() || there > 0,
            Policy::AntiAffinity | Policy::SoftAntiAffinity => {
                i64::try_from(there).is_ok_and(|there| there < self.max_per_host.unwrap_or(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affinity(policy: Policy, hosts: &[HostId]) -> Affinity {
        Affinity { policy, max_per_host: None, hosts: hosts.to_vec() }
    }

    #[test]
    fn the_first_of_a_group_may_go_anywhere_and_the_next_where_the_policy_says() {
        let (one, two) = (HostId::random(), HostId::random());
        for policy in [Policy::Affinity, Policy::AntiAffinity, Policy::SoftAffinity, Policy::SoftAntiAffinity] {
            assert!(affinity(policy, &[]).suits(one));
        }
        assert!(affinity(Policy::Affinity, &[one]).suits(one));
        assert!(!affinity(Policy::Affinity, &[one]).suits(two));
        assert!(!affinity(Policy::AntiAffinity, &[one]).suits(one));
        assert!(affinity(Policy::AntiAffinity, &[one]).suits(two));
    }

    #[test]
    fn a_rule_lets_so_many_of_a_group_onto_one_host() {
        let host = HostId::random();
        let two = |hosts: &[HostId]| Affinity { max_per_host: Some(2), ..affinity(Policy::AntiAffinity, hosts) };
        assert!(two(&[host]).suits(host));
        assert!(!two(&[host, host]).suits(host));
    }
}
